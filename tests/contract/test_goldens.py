"""What was once sent is understood for ever: every golden message decodes to what it meant when it was written."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from station.contracts import actions
from station.contracts.catalog import MESSAGES
from station.contracts.events import EVENT_TYPES, PublishedEvent
from tests.support import goldens
from tests.support.examples import EVENTS, LATER, NAMES, example, type_of

CODECS = {".json": msgspec.json, ".msgpack": msgspec.msgpack}
FILES = sorted(goldens.FOLDER.iterdir())


def name_of(path: Path) -> str:
    return path.name.removesuffix(path.suffix)


def within(part: Any, whole: Any) -> bool:
    """Whether everything that ``part`` says is said by ``whole`` too; objects may have more members."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(name in whole and within(part[name], whole[name]) for name in part)
    if isinstance(part, list):
        return (
            isinstance(whole, list)
            and len(part) == len(whole)
            and all(within(one, other) for one, other in zip(part, whole, strict=True))
        )
    return type(part) is type(whole) and part == whole


def structs(value: Any) -> Iterator[msgspec.Struct]:
    """A value's structs, at any depth."""
    if isinstance(value, msgspec.Struct):
        yield value
        for field in msgspec.structs.fields(value):
            yield from structs(getattr(value, field.name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from structs(item)


def test_every_message_event_and_action_has_a_golden_in_both_formats() -> None:
    action_types = {
        name
        for name, found in inspect.getmembers(actions, inspect.isclass)
        if issubclass(found, msgspec.Struct) and found is not actions.ActionInput
    }
    messages = {message.__name__ for message in MESSAGES if message is not PublishedEvent}
    wanted = messages | set(EVENT_TYPES) | action_types
    for suffix in CODECS:
        assert {type_of(path.name) for path in FILES if path.suffix == suffix} == wanted
    assert goldens.missing() == []


def test_no_golden_is_without_the_example_that_says_what_it_means() -> None:
    assert {name_of(path) for path in FILES} == set(NAMES)


def test_every_field_is_in_some_golden_with_a_value_that_is_not_its_default() -> None:
    """Whoever adds a field adds a golden that has it."""
    fields: dict[type, set[str]] = {}
    for name in NAMES:
        for found in structs(EVENTS.get(name) or example(name)):
            told = fields.setdefault(type(found), set())
            told |= {
                field.name
                for field in msgspec.structs.fields(found)
                if field.required or getattr(found, field.name) != default_of(field)
            }
    untold = {
        f"{kind.__name__}.{field.name}"
        for kind, told in fields.items()
        for field in msgspec.structs.fields(kind)
        if field.name not in told
    }
    assert untold == set()


def default_of(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_golden_decodes_to_what_it_meant(path: Path) -> None:
    name = name_of(path)
    decoded = CODECS[path.suffix].decode(path.read_bytes(), type=goldens.struct_of(name))
    assert decoded == example(name)
    if isinstance(decoded, PublishedEvent):
        assert decoded.type == type_of(name)
        assert msgspec.convert(decoded.data, EVENT_TYPES[decoded.type]) == EVENTS[name]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_golden_is_written_again_with_everything_it_said(path: Path) -> None:
    codec, name, body = CODECS[path.suffix], name_of(path), path.read_bytes()
    decoded = codec.decode(body, type=goldens.struct_of(name))
    again = codec.encode(decoded)
    assert codec.decode(again, type=goldens.struct_of(name)) == decoded
    assert within(codec.decode(body), codec.decode(again))
    if isinstance(decoded, PublishedEvent):
        data = msgspec.convert(decoded.data, EVENT_TYPES[decoded.type])
        assert within(decoded.data, codec.decode(codec.encode(data)))


def test_both_formats_say_the_same() -> None:
    for name in NAMES:
        json, packed = (goldens.path_of(name, suffix).read_bytes() for suffix in goldens.SUFFIXES)
        kind = goldens.struct_of(name)
        assert msgspec.json.decode(json, type=kind) == msgspec.msgpack.decode(packed, type=kind)


def test_missing_goldens_are_added_and_those_that_are_there_are_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "StartRun.json"
    kept.write_text("what was promised")
    assert kept not in goldens.missing(tmp_path)
    added = goldens.add(tmp_path)
    assert len(added) == 2 * len(NAMES) - 1
    assert kept.read_text() == "what was promised"
    assert goldens.add(tmp_path) == []
    grown = {name.partition(".")[0] for name in LATER}
    for path in added:
        if path.name.partition(".")[0] not in grown:  # what was promised before a type grew lacks its new fields
            assert path.read_bytes() == (goldens.FOLDER / path.name).read_bytes()
