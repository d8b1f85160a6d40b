"""Bodies are decoded strictly, and whatever is wrong has a place."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.gateway.bodies import SignalBody, StartRunBody, decode_body
from station.runtime.errors import Refused

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text(), json_values), st.text(min_size=1, max_size=256))
def test_an_input_comes_through_unchanged(values: dict[str, object], name: str) -> None:
    body = msgspec.json.encode({"workflowId": name, "input": values})
    found = decode_body(body, StartRunBody)
    assert found.workflow_id == name
    assert msgspec.json.decode(msgspec.json.encode(found.input)) == msgspec.json.decode(body)["input"]


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**400])
def test_an_integer_that_no_other_encoding_holds_is_refused_with_its_place(number: int) -> None:
    body = b'{"workflowId": "w", "input": {"a": [1, %d]}}' % number
    with pytest.raises(Refused) as refused:
        decode_body(body, StartRunBody)
    problem = refused.value.failure.errors[0]
    assert (problem.code, problem.path) == ("number_too_large", "/input/a/1")


@given(st.binary())
def test_no_bytes_ever_crash_it(body: bytes) -> None:
    with contextlib.suppress(Refused):
        assert decode_body(body, SignalBody).name


@given(st.text(min_size=1).filter(lambda text: text.strip(" \t\r\n")[:1] not in '{["-0123456789tfn'), st.integers(0, 5))
def test_the_position_of_what_is_not_json_is_told(text: str, lines: int) -> None:
    body = ("\n" * lines + "  " + text.lstrip(" \t\r\n")).encode("utf-8", "replace")
    with pytest.raises(Refused) as refused:
        decode_body(body, SignalBody)
    assert f"(line {lines + 1}, column " in refused.value.failure.detail


def test_a_whole_number_is_an_integer_however_it_is_written() -> None:
    assert decode_body(b'{"workflowId": "a", "version": 3.0}', StartRunBody).version == 3
    for version in (b"3.5", b"1e400", b"-1.0", b'"3"'):
        with pytest.raises(Refused):
            decode_body(b'{"workflowId": "a", "version": ' + version + b"}", StartRunBody)
    found = decode_body(b'{"name": "a", "payload": {"version": 3.0}}', SignalBody)
    assert isinstance(found.payload["version"], float)
