"""Messages go to bytes and back, and what cannot be read says where and why."""

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.contracts.agents import AnnounceRunner
from station.contracts.runs import ListEvents, ListRuns, StartRun
from station.contracts.work import ReportResults, StepRef, StepResult
from station.runtime.codec import JSON, MSGPACK, Undecodable, content_type_of, decode, encode, read

REPORT = ReportResults(
    runner="r", boot=2, results=(StepResult(run_id="run_1", step_id="s", attempt=1, token=7, output={"ä": [1, None]}),)
)


@pytest.mark.parametrize("content_type", [MSGPACK, JSON])
def test_a_message_survives(content_type: str) -> None:
    assert decode(encode(REPORT, content_type), ReportResults, content_type) == REPORT


def test_msgpack_is_what_is_not_said() -> None:
    assert decode(encode(REPORT), ReportResults) == REPORT
    assert encode(REPORT) == encode(REPORT, MSGPACK)


def test_a_field_of_a_newer_version_is_passed_over() -> None:
    assert decode(b'{"workflowId": "w", "colour": 1}', StartRun, JSON) == StartRun(workflow_id="w")


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        (b'{"runner": "r", "boot": 1, "results": [{"runId": 5}]}', "/results/0/runId", "Expected `str`"),
        (b'{"runner": "r", "boot": 1}', "", "missing required field `results`"),
        (b'{"runner": ', "", "truncated"),
        (b"\xff", "", "not application/json"),
        (b'{"runner": "\xff"}', "", "invalid start byte"),
        (b"", "", "truncated"),
        (b'{"x":' + b"[" * 100_000, "", "nested too deep"),
    ],
)
def test_what_cannot_be_read_says_where_and_why(body: bytes, pointer: str, words: str) -> None:
    with pytest.raises(Undecodable) as caught:
        decode(body, ReportResults, JSON)
    assert caught.value.problem.path == pointer
    assert words in caught.value.problem.message
    assert caught.value.problem.hint


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (encode(REPORT)[:-1], "truncated"),
        (encode(REPORT).replace(b"run_1", b"run_\xff"), "can't decode byte 0xff"),
    ],
    ids=["cut", "no UTF-8"],
)
def test_damaged_msgpack_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(Undecodable, match=words):
        decode(body, ReportResults)


@given(st.binary(), st.sampled_from([JSON, MSGPACK]))
def test_no_bytes_are_more_than_undecodable(body: bytes, content_type: str) -> None:
    with contextlib.suppress(Undecodable):
        decode(body, ReportResults, content_type)
    for place in range(len(encode(REPORT))):
        with contextlib.suppress(Undecodable):
            decode(encode(REPORT)[:place] + body[:2] + encode(REPORT)[place + 2 :], ReportResults)


def test_an_unknown_content_type_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(Undecodable) as caught:
        decode(b"<a/>", StartRun, "text/xml")
    assert JSON in str(caught.value.problem.hint)


def test_encoding_something_that_is_no_message_is_a_bug() -> None:
    with pytest.raises(TypeError):
        encode(object())
    assert msgspec.json.decode(encode({"a": 1}, JSON)) == {"a": 1}


@pytest.mark.parametrize(
    ("headers", "body", "content_type"),
    [
        (None, b'{"a": 1}', JSON),
        (None, b' \n{"a": 1}', JSON),
        ({}, b"", JSON),
        (None, b"not an object", JSON),
        (None, b"[1, 2]", JSON),
        (None, encode(REPORT), MSGPACK),
        ({"content-type": MSGPACK}, b"{}", MSGPACK),
        ({"Content-Type": "Application/JSON; charset=utf-8"}, b"\x80", JSON),
        ({"traceparent": "x"}, b"\x80", MSGPACK),
    ],
)
def test_the_content_type_is_what_is_said_or_what_it_looks_like(
    headers: dict[str, str] | None, body: bytes, content_type: str
) -> None:
    assert content_type_of(headers, body) == content_type


def test_a_message_of_another_contract_is_refused() -> None:
    assert read({"station-contract": "1"}, encode(REPORT), ReportResults) == REPORT
    with pytest.raises(Undecodable) as caught:
        read({"station-contract": "2"}, encode(REPORT), ReportResults)
    assert caught.value.problem.code == "contract_version"
    assert "'2'" in caught.value.problem.message


def test_an_integer_that_msgpack_cannot_hold_is_refused_with_its_place() -> None:
    body = b'{"workflowId": "w", "input": {"a/b": [%d, %d]}}'
    assert decode(body % (2**64 - 1, -(2**63)), StartRun, JSON).input == {"a/b": [2**64 - 1, -(2**63)]}
    with pytest.raises(Undecodable) as caught:
        decode(body % (0, 2**64), StartRun, JSON)
    assert caught.value.problem.path == "/input/a~1b/1"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (ListRuns, {"limit": 0}),
        (ListRuns, {"limit": 2**63}),
        (ListEvents, {"runId": "r", "after": -1}),
        (StartRun, {"workflowId": "w", "version": 2**63}),
        (StepRef, {"runId": "r", "stepId": "s", "attempt": 0}),
        (AnnounceRunner, {"runner": "r", "boot": 2**63, "environments": [], "agents": []}),
    ],
)
def test_a_number_that_nobody_can_use_is_refused_when_it_is_read(kind: type[Any], fields: dict[str, Any]) -> None:
    with pytest.raises(Undecodable, match="Expected `int`"):
        decode(msgspec.msgpack.encode(fields), kind)
