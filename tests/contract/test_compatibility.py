"""Within v1 fields are only added, with defaults: newer senders and older ones are both understood."""

from typing import Any

import msgspec
import pytest

from tests.support.compatibility import UNKNOWN, defaults_of, only_required, with_unknown_fields
from tests.support.examples import EVENTS, MESSAGES, NAMES, example

EXAMPLES: dict[str, msgspec.Struct] = {**MESSAGES, **EVENTS}
CODECS = (msgspec.json, msgspec.msgpack)


def strict(value: msgspec.Struct) -> bool:
    return value.__struct_config__.forbid_unknown_fields


@pytest.mark.parametrize("codec", CODECS, ids=["json", "msgpack"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_fields_that_we_do_not_know_are_ignored(name: str, codec: Any) -> None:
    """Of the data of an event, and of every message and all that is inside it. Only an author's input is strict."""
    sent = with_unknown_fields(EXAMPLES[name])
    assert (UNKNOWN in sent) is not strict(EXAMPLES[name])
    assert codec.decode(codec.encode(sent), type=type(EXAMPLES[name])) == EXAMPLES[name]


def test_the_envelope_of_an_event_ignores_fields_that_we_do_not_know() -> None:
    for name in EVENTS:
        body = msgspec.json.encode(with_unknown_fields(example(name)))
        assert msgspec.json.decode(body, type=type(example(name))) == example(name)


@pytest.mark.parametrize("name", [name for name in NAMES if name in MESSAGES and strict(MESSAGES[name])])
def test_an_input_of_an_action_refuses_a_field_that_does_not_exist(name: str) -> None:
    body = msgspec.json.encode({**msgspec.to_builtins(MESSAGES[name]), UNKNOWN: 1})
    with pytest.raises(msgspec.ValidationError, match=UNKNOWN):
        msgspec.json.decode(body, type=type(MESSAGES[name]))


@pytest.mark.parametrize("codec", CODECS, ids=["json", "msgpack"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_fields_that_have_a_default_may_be_missing(name: str, codec: Any) -> None:
    sent = only_required(EXAMPLES[name])
    decoded = codec.decode(codec.encode(sent), type=type(EXAMPLES[name]))
    for field, default in defaults_of(EXAMPLES[name]).items():
        assert getattr(decoded, field) == default
    for field in msgspec.structs.fields(decoded):
        assert field.encode_name in sent or not field.required
