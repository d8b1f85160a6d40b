"""Values that a schema describes, few and always the same: for showing what does not fit another schema.

They are candidates only: a pattern or a combination may refuse them, so whoever uses one validates it. What a schema
leaves entirely open gives none, and members that it does not name are not made up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any

from station.core.jsonvalue import is_number, is_object
from station.core.shapes import types_of

_MAX_DEPTH = 12
_MAX_PADDING = 200
_FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "date-time": "2026-01-31T08:00:00Z",
        "date": "2026-01-31",
        "time": "08:00:00Z",
        "email": "ada@example.org",
        "uri": "https://example.org/",
        "uuid": "6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
        "ipv4": "192.0.2.1",
        "hostname": "example.org",
    }
)


def examples(schema: Any, *, complete: bool, limit: int) -> Iterator[Any]:
    """Give at most `limit` candidates; `complete` ones have every member that the schema names."""
    return islice(_Examples(complete=complete, limit=limit).of(schema, 0), limit)


class _Examples:
    def __init__(self, *, complete: bool, limit: int) -> None:
        self._complete = complete
        self._limit = limit
        self._steps = 40 * limit

    def of(self, schema: Any, depth: int) -> Iterator[Any]:
        self._steps -= 1
        if not is_object(schema) or depth > _MAX_DEPTH or self._steps < 0:
            return
        if "const" in schema:
            yield schema["const"]
        elif "enum" in schema:
            yield from schema["enum"]
        elif any(word in schema for word in ("anyOf", "oneOf", "allOf")):
            for word in ("anyOf", "oneOf", "allOf"):
                for one in schema.get(word, ()):
                    yield from self.of(one, depth + 1)
        else:
            yield from self._plain(schema, depth)

    def _plain(self, schema: Mapping[str, Any], depth: int) -> Iterator[Any]:
        makers: dict[str, Callable[[], Iterator[Any]]] = {
            "string": lambda: _texts(schema),
            "integer": lambda: _numbers(schema, whole=True),
            "number": lambda: _numbers(schema, whole=False),
            "boolean": lambda: iter((True, False)),
            "null": lambda: iter((None,)),
            "array": lambda: self._arrays(schema, depth),
            "object": lambda: self._objects(schema, depth),
        }
        types = types_of(schema)
        if types is None:
            types = {kind for kind, word in (("object", "properties"), ("array", "items")) if word in schema}
        for kind in sorted(types):
            if kind in makers:
                yield from makers[kind]()

    def _arrays(self, schema: Mapping[str, Any], depth: int) -> Iterator[Any]:
        least = schema.get("minItems", 0)
        if least > _MAX_PADDING:
            return
        for item in islice(self.of(schema.get("items"), depth + 1), self._limit):
            yield [item] * max(1, least)
        if least == 0:
            yield []

    def _objects(self, schema: Mapping[str, Any], depth: int) -> Iterator[Any]:
        properties: Mapping[str, Any] = schema.get("properties", {})
        required = [name for name in schema.get("required", ()) if isinstance(name, str)]
        full: dict[str, Any] = {}
        others: dict[str, list[Any]] = {}
        for name in dict.fromkeys([*required, *properties]):
            first, *rest = [*islice(self.of(properties.get(name), depth + 1), self._limit)] or [_NONE]
            if first is not _NONE:
                full[name] = first
                others[name] = rest
            elif name in required or self._complete:
                return
        base = full if self._complete else {name: full[name] for name in full if name in required}
        yield base
        for name, rest in others.items():
            if not self._complete and name not in base:
                yield {**base, name: full[name]}
            for value in rest:
                yield {**base, name: value}


_NONE: Any = object()


def _texts(schema: Mapping[str, Any]) -> Iterator[str]:
    if schema.get("format") in _FORMATS:
        yield _FORMATS[schema["format"]]
    least = schema.get("minLength", 0)
    most = schema.get("maxLength", _MAX_PADDING)
    if not is_number(least) or not is_number(most) or least > _MAX_PADDING:
        return
    text = "text".ljust(int(least), "t")
    yield text[: int(most)]
    if least == 0:
        yield ""
    else:
        yield "t" * int(least)
    if most <= _MAX_PADDING and "maxLength" in schema:
        yield "t" * int(most)


def _numbers(schema: Mapping[str, Any], *, whole: bool) -> Iterator[int | float]:
    edges: list[int | float] = [] if whole else [0.5]
    edges += [0, 1, -1, 1_000_000]
    step = schema.get("multipleOf", 1)
    for word, inward in (("minimum", 0), ("maximum", 0), ("exclusiveMinimum", 1), ("exclusiveMaximum", -1)):
        edge = schema.get(word)
        if is_number(edge):
            edges += [edge + inward * (step if is_number(step) else 1)]
            edges += [] if whole else [edge + inward * 0.5]
    yield from dict.fromkeys(int(edge) if whole and is_integral(edge) else edge for edge in edges)


def is_integral(number: float) -> bool:
    """Tell whether a number is whole, as JSON Schema sees it."""
    return isinstance(number, int) or number.is_integer()
