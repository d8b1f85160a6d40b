"""Ids of spans are the same wherever and whenever they are derived."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.runtime.telemetry import Telemetry, parent_context, setup
from station.runtime.traceids import (
    agent_span_id,
    parse_traceparent,
    run_span_id,
    state_span_id,
    step_span_id,
    trace_id_of,
    traceparent,
)

W3C = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_ids_never_change() -> None:
    """A run that began before an upgrade keeps its trace after it."""
    assert f"{trace_id_of('run_1', None):032x}" == "d9cf390f945ac2916dd16170c65cea0b"
    assert f"{run_span_id('run_1'):016x}" == "42f8ca92db34757f"


def test_each_level_and_attempt_has_its_own() -> None:
    ids = {
        run_span_id("r"),
        state_span_id("r", "s"),
        step_span_id("r", "s", 1),
        step_span_id("r", "s", 2),
        agent_span_id("r", "s", 1),
        state_span_id("rs", ""),
    }
    assert len(ids) == 6
    assert all(0 < one < 2**64 for one in ids)


def test_the_trace_of_the_caller_is_kept() -> None:
    assert trace_id_of("run_1", W3C) == 0x0AF7651916CD43DD8448EB211C80319C
    assert trace_id_of("run_1", "nonsense") == trace_id_of("run_1", None)


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1))
def test_the_header_is_read_as_it_was_written(trace_id: int, span_id: int) -> None:
    assert parse_traceparent(traceparent(trace_id, span_id)) == (trace_id, span_id)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00-0-0-01",
        W3C.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        W3C.replace("b7ad6b7169203331", "0" * 16),
        "ff" + W3C[2:],
        W3C[:-1],
    ],
)
def test_what_is_no_header_counts_as_none(text: str) -> None:
    assert parse_traceparent(text) is None


def test_a_header_of_a_later_version_and_other_flags_is_read() -> None:
    assert parse_traceparent("01" + W3C[2:-2] + "03-more") is not None


def test_without_an_endpoint_nothing_is_exported() -> None:
    telemetry = setup("scheduler", None)
    assert isinstance(telemetry, Telemetry)
    assert not telemetry.enabled
    with telemetry.tracer.start_as_current_span("chat", context=parent_context(1, 2)) as span:
        assert not span.is_recording()
    telemetry.shutdown()
