"""What is known of a value before a run: its JSON Schema, or what the engine itself puts together.

A shape describes values from outside in: a schema that an agent promises, an object that a parallel joins, a text with
placeholders. `UNKNOWN` says that anything may come, and nothing follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias, cast

import msgspec

from station.core.jsonvalue import is_array, is_object
from station.core.paths import Path
from station.core.schema_references import without_references

_COMBINING = ("allOf", "if", "not", "patternProperties", "dependentSchemas", "unevaluatedProperties")
_SHAPING = ("type", "properties", "required", "items", "prefixItems", "additionalProperties")


class Unknown(msgspec.Struct, frozen=True):
    """Anything."""


class Known(msgspec.Struct, frozen=True, eq=False):
    """A value that keeps a schema, which stands for itself (no references)."""

    schema: Any


class Text(msgspec.Struct, frozen=True):
    """A text with placeholders, of which only that is known."""


class Member(NamedTuple):
    """One member of a `Record`."""

    shape: Shape
    always: bool
    """False if it may be missing."""


class Record(msgspec.Struct, frozen=True, eq=False):
    """An object with these members and no others."""

    members: Mapping[str, Member]


class Sequence(msgspec.Struct, frozen=True, eq=False):
    """A list of such items."""

    item: Shape
    filled: bool = False
    """Whether it has at least one."""


class Choice(msgspec.Struct, frozen=True, eq=False):
    """One of several; never none."""

    shapes: tuple[Shape, ...]


Shape: TypeAlias = Unknown | Known | Text | Record | Sequence | Choice

UNKNOWN = Unknown()


class Presence(IntEnum):
    """Whether a member that is read is there; the worse, the greater."""

    ALWAYS = 0
    OPTIONAL = 1
    """Declared, and not required."""
    UNDECLARED = 2
    """Not declared where more than the declared may come."""
    NEVER = 3


class Found(NamedTuple):
    """What a path leads to inside of a shape."""

    shape: Shape
    presence: Presence
    rest: Path = ()
    """If it is not always there: the part of the path that leads to nothing."""
    names: tuple[str, ...] = ()
    """What is there instead."""


_ABSENT = Found(UNKNOWN, Presence.NEVER)


def literal(value: Any) -> Shape:
    """Give the shape of a fixed value."""
    return Known({"const": value})


def promised(schema: Any) -> Shape:
    """Give the shape of what keeps a schema, which may hold references; None is no schema."""
    return known(without_references(schema))


def known(schema: Any) -> Shape:
    """Give the shape of what keeps a schema without references; an empty one says nothing."""
    return Known(schema) if is_object(schema) and schema else UNKNOWN


def either(shapes: Iterable[Shape]) -> Shape:
    """Join the shapes of several ways."""
    flat: list[Shape] = []
    for shape in shapes:
        flat.extend(shape.shapes if isinstance(shape, Choice) else (shape,))
    if not flat or all(isinstance(shape, Unknown) for shape in flat):
        return UNKNOWN
    return flat[0] if len(flat) == 1 else Choice(tuple(flat))


def follow(shape: Shape, path: Path, *, inside: bool = True) -> Found:
    """Read a path inside of a shape, by the rules of `context.lookup`; `inside` is False for the root itself."""
    worst = Found(shape, Presence.ALWAYS)
    for depth, name in enumerate(path):
        found = _read(shape, name) if name == "result" and (inside or depth) else _member(shape, name)
        if found.presence > worst.presence:
            worst = Found(UNKNOWN, found.presence, path[depth:], found.names)
        if found.presence == Presence.NEVER:
            return worst
        shape = found.shape
    return worst._replace(shape=shape)


def items_of(shape: Shape) -> Shape:
    """Give the shape of an item of a list; what is no list has none."""
    match shape:
        case Sequence(item=item):
            return item
        case Choice(shapes=shapes):
            return either(items_of(one) for one in shapes)
        case Known(schema=schema):
            return _schema_items(schema)
        case _:
            return UNKNOWN


def _read(shape: Shape, name: str) -> Found:
    """`.result` of what has no such member is the value itself."""
    if isinstance(shape, Choice):
        return Found(either(_read(one, name).shape for one in shape.shapes), Presence.ALWAYS)
    found = _member(shape, name)
    match found.presence:
        case Presence.NEVER:
            return Found(shape, Presence.ALWAYS)
        case Presence.OPTIONAL:
            return Found(either([found.shape, shape]), Presence.ALWAYS)
        case Presence.UNDECLARED:
            return Found(either([shape, UNKNOWN]), Presence.ALWAYS)
        case Presence.ALWAYS:
            return found


def _member(shape: Shape, name: str) -> Found:
    match shape:
        case Unknown():
            return Found(UNKNOWN, Presence.ALWAYS)
        case Text():
            return _ABSENT
        case Record(members=members):
            return _record_member(members, name)
        case Sequence(item=item):
            return Found(item, Presence.ALWAYS) if name.isdigit() else _ABSENT
        case Choice(shapes=shapes):
            return _of_several([_member(one, name) for one in shapes])
        case Known(schema=schema):
            return _schema_member(schema, name)


def _record_member(members: Mapping[str, Member], name: str) -> Found:
    if name not in members:
        return Found(UNKNOWN, Presence.NEVER, names=tuple(members))
    return Found(members[name].shape, Presence.ALWAYS if members[name].always else Presence.OPTIONAL)


def _of_several(found: list[Found]) -> Found:
    there = [one for one in found if one.presence != Presence.NEVER]
    if not there:
        return Found(UNKNOWN, Presence.NEVER, names=tuple(name for one in found for name in one.names))
    worst = max(there, key=lambda one: one.presence)
    return worst._replace(shape=either(one.shape for one in there))


def types_of(schema: Any) -> frozenset[str] | None:
    """Give the JSON types that a schema names, or that its keywords are about; None if it leaves them open."""
    kind = schema.get("type") if is_object(schema) else None
    if isinstance(kind, str):
        return frozenset([kind])
    if is_array(kind):
        return frozenset(str(one) for one in kind)
    return None


def _schema_member(schema: Any, name: str) -> Found:
    if schema is False:
        return _ABSENT
    if not is_object(schema) or any(keyword in schema for keyword in _COMBINING):
        return Found(UNKNOWN, Presence.ALWAYS)
    if "const" in schema or "enum" in schema:
        values: list[Any] = [schema["const"]] if "const" in schema else schema["enum"]
        return _of_several([_value_member(value, name) for value in values])
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            plain = not any(other in schema for other in _SHAPING)
            return (
                _of_several([_schema_member(one, name) for one in schema[keyword]])
                if plain
                else Found(UNKNOWN, Presence.ALWAYS)
            )
    return _plain_member(schema, name)


def _value_member(value: Any, name: str) -> Found:
    if is_object(value):
        if name in value:
            return Found(Known({"const": value[name]}), Presence.ALWAYS)
        return Found(UNKNOWN, Presence.NEVER, names=tuple(value))
    if is_array(value) and name.isascii() and name.isdigit() and len(name) < 9 and int(name) < len(value):
        return Found(Known({"const": value[int(name)]}), Presence.ALWAYS)
    return _ABSENT


def _plain_member(schema: Mapping[str, Any], name: str) -> Found:
    types = types_of(schema)
    if types is None:
        types = frozenset(kind for kind, word in (("object", "properties"), ("array", "items")) if word in schema)
        if not types:
            return Found(UNKNOWN, Presence.ALWAYS)
    found: list[Found] = []
    if "object" in types:
        found.append(_object_member(schema, name))
    if "array" in types:
        found.append(Found(_schema_items(schema), Presence.ALWAYS) if name.isdigit() else _ABSENT)
    return _of_several(found)


def _object_member(schema: Mapping[str, Any], name: str) -> Found:
    properties: Mapping[str, Any] = schema.get("properties", {})
    if name in properties:
        always = name in schema.get("required", ())
        return Found(known(properties[name]), Presence.ALWAYS if always else Presence.OPTIONAL)
    more = schema.get("additionalProperties", True)
    if more is False:
        return Found(UNKNOWN, Presence.NEVER, names=tuple(properties))
    if is_object(more) or not properties:
        return Found(known(more), Presence.ALWAYS)
    return Found(UNKNOWN, Presence.UNDECLARED, names=tuple(properties))


def _schema_items(schema: Any) -> Shape:
    if not is_object(schema) or any(keyword in schema for keyword in (*_COMBINING, "prefixItems", "anyOf", "oneOf")):
        return UNKNOWN
    if "const" in schema or "enum" in schema:
        lists: list[Any] = [value for value in schema.get("enum", [schema.get("const")]) if is_array(value)]
        return either(Known({"const": value}) for values in cast("list[list[Any]]", lists) for value in values)
    return known(schema.get("items", True))
