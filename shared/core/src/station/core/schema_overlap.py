"""Whether two schemas exclude each other: no value keeps both. Says so only when that is certain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from station.core.jsonvalue import is_array, is_number, is_object
from station.core.schemas import SchemaError, compile_schema
from station.core.shapes import types_of

_MAX_STEPS = 2000
_MAX_DEPTH = 16


def exclude_each_other(one: Any, other: Any) -> str | None:
    """Say in words why no value can keep both schemas (which hold no references); None if one may."""
    return _Search().of(one, other, "", 0)


class _Search:
    def __init__(self) -> None:
        self._steps = 0

    def of(self, one: Any, other: Any, place: str, depth: int) -> str | None:
        self._steps += 1
        if self._steps > _MAX_STEPS or depth > _MAX_DEPTH:
            return None
        for left, right in ((one, other), (other, one)):
            if left is False:
                return f"{_at(place)}nothing is allowed"
            if is_object(left):
                reason = self._values(left, right, place) or self._parts(left, right, place, depth)
                if reason is not None:
                    return reason
        if not is_object(one) or not is_object(other):
            return None
        return self._plain(one, other, place, depth)

    def _values(self, left: Mapping[str, Any], right: Any, place: str) -> str | None:
        """Every value that one side lists breaks the other."""
        if "const" not in left and not is_array(left.get("enum")):
            return None
        values: list[Any] = [left["const"]] if "const" in left else left["enum"]
        try:
            validator = compile_schema(right)
        except SchemaError:
            return None
        if any(validator.is_valid(value) for value in values):
            return None
        return f"{_at(place)}none of the listed values fits"

    def _parts(self, left: Mapping[str, Any], right: Any, place: str, depth: int) -> str | None:
        for word in ("anyOf", "oneOf"):
            if is_array(parts := left.get(word)):
                reasons = [self.of(part, right, place, depth + 1) for part in parts]
                if reasons and None not in reasons:
                    return reasons[0]
        for part in left.get("allOf", ()):
            reason = self.of(part, right, place, depth + 1)
            if reason is not None:
                return reason
        return None

    def _plain(self, one: Mapping[str, Any], other: Mapping[str, Any], place: str, depth: int) -> str | None:
        first, second = _widened(types_of(one)), _widened(types_of(other))
        if first is not None and second is not None and not first & second:
            return f"{_at(place)}{_listed(types_of(one))} is never {_listed(types_of(other))}"
        shared = (first or second or frozenset[str]()) & (second or first or frozenset[str]())
        match sorted(shared):
            case ["integer", "number"]:
                return _ranges(one, other, place, "minimum", "maximum")
            case ["string"]:
                return _ranges(one, other, place, "minLength", "maxLength")
            case ["array"]:
                return _ranges(one, other, place, "minItems", "maxItems") or self._items(one, other, place, depth)
            case ["object"]:
                return self._members(one, other, place, depth)
            case _:
                return None

    def _items(self, one: Mapping[str, Any], other: Mapping[str, Any], place: str, depth: int) -> str | None:
        filled = max(one.get("minItems", 0), other.get("minItems", 0)) > 0
        if not filled or "prefixItems" in one or "prefixItems" in other:
            return None
        if is_array(one.get("items")) or is_array(other.get("items")):
            return None
        return self.of(one.get("items", True), other.get("items", True), f"{place}/0", depth + 1)

    def _members(self, one: Mapping[str, Any], other: Mapping[str, Any], place: str, depth: int) -> str | None:
        """Look at each member that a side requires."""
        first: Mapping[str, Any] = one.get("properties", {})
        second: Mapping[str, Any] = other.get("properties", {})
        for name in dict.fromkeys([*one.get("required", ()), *other.get("required", ())]):
            if any(name not in side.get("properties", {}) and _is_closed(side) for side in (one, other)):
                return f"{_at(place)}{name!r} is required on one side and not allowed on the other"
            if name in first and name in second:
                reason = self.of(first[name], second[name], f"{place}/{name}", depth + 1)
                if reason is not None:
                    return reason
        return None


def _is_closed(schema: Mapping[str, Any]) -> bool:
    return schema.get("additionalProperties") is False and not schema.get("patternProperties")


def _ranges(one: Mapping[str, Any], other: Mapping[str, Any], place: str, least: str, most: str) -> str | None:
    for low, high in ((one.get(least), other.get(most)), (other.get(least), one.get(most))):
        if is_number(low) and is_number(high) and low > high:
            return f"{_at(place)}{least} {low} is above {most} {high}"
    return None


def _widened(types: frozenset[str] | None) -> frozenset[str] | None:
    """A number may be whole, and a whole number is a number."""
    return types | {"number", "integer"} if types and types & {"number", "integer"} else types


def _listed(types: frozenset[str] | None) -> str:
    return " or ".join(sorted(types or ()))


def _at(place: str) -> str:
    return f"at {place}: " if place else ""
