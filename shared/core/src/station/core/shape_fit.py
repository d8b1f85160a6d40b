"""Does what is known of a value suit a schema? Member by member where the engine made the object, else by schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from station.core.jsonvalue import is_array, is_object, pointer_token
from station.core.schema_comparison import Comparison, Comparisons, Verdict
from station.core.shapes import Choice, Known, Record, Sequence, Shape, Text, Unknown, types_of

_REMARKS = frozenset(
    ["title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$schema"]
)
_OF_OBJECTS = _REMARKS | {"type", "properties", "required", "additionalProperties"}
_OF_ARRAYS = _REMARKS | {"type", "items"}
_SILENT = Comparison(Verdict.UNKNOWN)


def fit(comparisons: Comparisons, shape: Shape, schema: Any) -> Comparison:
    """Compare a shape with a schema that holds no references."""
    if schema is True or schema == {}:
        return Comparison(Verdict.FITS)
    return _SILENT if isinstance(shape, Unknown) else _fit(comparisons, shape, schema)


def _fit(comparisons: Comparisons, shape: Known | Text | Record | Sequence | Choice, schema: Any) -> Comparison:
    match shape:
        case Known(schema=known):
            return comparisons.of(known, schema)
        case Choice(shapes=shapes):
            return joined([fit(comparisons, one, schema) for one in shapes])
        case Record(members=members) if is_plain_object(schema):
            return worst_of(
                {name: member_fit(comparisons, shape, name, schema) for name in [*members, *missing(shape, schema)]}
            )
        case Sequence(item=item, filled=filled) if is_object(schema) and schema.keys() <= _OF_ARRAYS:
            return _list_fit(comparisons, item, schema, filled=filled)
        case Record() | Sequence() | Text():
            return _whole(comparisons, shape, schema)


def is_plain_object(schema: Any) -> bool:
    """Tell whether a schema says no more of an object than its members."""
    return is_object(schema) and schema.keys() <= _OF_OBJECTS and types_of(schema) in (None, frozenset(["object"]))


def missing(record: Record, schema: Mapping[str, Any]) -> list[str]:
    """Name the members that a schema requires and an object never has."""
    return [name for name in schema.get("required", ()) if name not in record.members]


def member_fit(comparisons: Comparisons, record: Record, name: str, schema: Mapping[str, Any]) -> Comparison:
    """Compare one member with what a plain object's schema says of it."""
    required = name in schema.get("required", ())
    if name not in record.members:
        return Comparison(Verdict.CANNOT if required else Verdict.FITS, f"{name!r} is required and never there")
    shape, always = record.members[name]
    properties: Mapping[str, Any] = schema.get("properties", {})
    taken = properties[name] if name in properties else schema.get("additionalProperties", True)
    if taken is False:
        found = Comparison(Verdict.CANNOT, f"{name!r} is not among the members that are allowed")
    else:
        found = fit(comparisons, shape, taken)
    if always:
        return found
    if found.verdict is Verdict.CANNOT:
        return found._replace(verdict=Verdict.MAY_FAIL)
    if required and found.verdict < Verdict.OPTIONAL:
        return Comparison(Verdict.MAY_FAIL, f"{name!r} is required, and some way here does not give it")
    return found


def joined(found: list[Comparison]) -> Comparison:
    """Judge a value that comes in one of several ways: it cannot fit only if none of them can."""
    worst = max(found, key=lambda one: one.verdict)
    if worst.verdict is Verdict.CANNOT and any(one.verdict is not Verdict.CANNOT for one in found):
        return worst._replace(verdict=Verdict.MAY_FAIL)
    return worst


def worst_of(found: Mapping[str, Comparison]) -> Comparison:
    """Judge an object by its worst member."""
    if not found:
        return Comparison(Verdict.FITS)
    name, worst = max(found.items(), key=lambda item: item[1].verdict)
    return worst._replace(place=f"/{pointer_token(name)}{worst.place}")


def _list_fit(comparisons: Comparisons, item: Shape, schema: Mapping[str, Any], *, filled: bool) -> Comparison:
    if types_of(schema) not in (None, frozenset(["array"])):
        return comparisons.of({"type": "array"}, schema)
    if is_array(schema.get("items")):
        return _SILENT
    found = fit(comparisons, item, schema.get("items", True))
    if found.verdict is Verdict.CANNOT and not filled:
        found = found._replace(verdict=Verdict.MAY_FAIL)  # an empty list fits
    return found._replace(place=f"/0{found.place}")


def _whole(comparisons: Comparisons, shape: Record | Sequence | Text, schema: Any) -> Comparison:
    """Compare by schema; where a part is unknown only the kind of the whole is sure."""
    described = _described(shape)
    if described is not None:
        return _at_worst(comparisons.of(described, schema)) if _has_text(shape) else comparisons.of(described, schema)
    kind = "object" if isinstance(shape, Record) else "array"
    found = comparisons.of({"type": kind}, schema)
    return found if found.verdict is Verdict.CANNOT else _SILENT


def _at_worst(found: Comparison) -> Comparison:
    """A text with placeholders is not any text: only that it can never fit is sure."""
    return found if found.verdict in (Verdict.CANNOT, Verdict.FITS) else _SILENT


def _described(shape: Shape) -> Any:
    """Write a shape as a schema; None if a part of it is unknown."""
    match shape:
        case Unknown():
            return None
        case Known(schema=schema):
            return schema
        case Text():
            return {"type": "string"}
        case Choice(shapes=shapes):
            parts = [_described(one) for one in shapes]
            return None if None in parts else {"anyOf": parts}
        case Sequence(item=item, filled=filled):
            items = _described(item)
            return None if items is None else {"type": "array", "items": items, "minItems": int(filled)}
        case Record(members=members):
            properties = {name: _described(member.shape) for name, member in members.items()}
            required = [name for name, member in members.items() if member.always]
            closed = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
            return None if None in properties.values() else closed


def _has_text(shape: Shape) -> bool:
    match shape:
        case Text():
            return True
        case Choice(shapes=shapes):
            return any(_has_text(one) for one in shapes)
        case Sequence(item=item):
            return _has_text(item)
        case Record(members=members):
            return any(_has_text(member.shape) for member in members.values())
        case _:
            return False
