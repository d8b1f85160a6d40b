from opentelemetry import trace

from station.agent_runner.catalog import Catalog
from station.agent_runner.executors.agent_run import AgentRun
from station.agent_runner.executors.protocol import Outcome
from station.agent_runner.record import Recorder
from station.contracts.errors import ErrorType, StepError
from station.runtime.telemetry import (
    SpanRecord,
    Telemetry,
    agent_span_id,
    parse_traceparent,
    step_span_id,
    trace_id_of,
)
from tests.support.agent_files import found_in
from tests.support.backend_conformance import held_for
from tests.support.step_scheduler import TRACE


class Spans:
    """Keeps what would be exported."""

    tracer: trace.Tracer = trace.NoOpTracer()

    def __init__(self) -> None:
        self.records: list[SpanRecord] = []

    def emit(self, record: SpanRecord) -> None:
        self.records.append(record)

    def shutdown(self) -> None: ...


def recorded(outcome: Outcome, traceparent: str | None) -> SpanRecord:
    spans = Spans()
    held = held_for("triage")
    held.traceparent = traceparent
    executor = AgentRun(found_in(Catalog()), max_output_bytes=1)
    Recorder(Telemetry(spans)).ended(executor, held, outcome, started_ms=1000, duration_ms=25)
    return spans.records[0]


def test_the_span_of_an_agent_hangs_below_that_of_its_step() -> None:
    span = recorded(Outcome(attributes={"agent_name": "triage"}), TRACE)
    assert span.name == "AgentExecute"
    assert (span.trace_id, span.parent_span_id) == parse_traceparent(TRACE)
    assert span.span_id == agent_span_id("run_1", "5" * 32, 1)
    assert (span.start_ms, span.end_ms, span.error) == (1000, 1025, None)
    assert span.attributes["agent_name"] == "triage"
    assert span.attributes["run_id"] == "run_1"


def test_without_a_header_the_ids_derive_from_run_and_step() -> None:
    error = StepError(type=ErrorType.TIMEOUT, message="too slow")
    span = recorded(Outcome(error=error), None)
    assert (span.trace_id, span.parent_span_id) == (trace_id_of("run_1", None), step_span_id("run_1", "5" * 32, 1))
    assert (span.error, span.attributes["error_type"], span.attributes["status"]) == (
        "too slow",
        "timeout",
        "TIMED_OUT",
    )
