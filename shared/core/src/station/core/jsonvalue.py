"""JSON values as Python holds them, and how a type checker is told which one is at hand."""

from __future__ import annotations

import re
from typing import Any, TypeAlias, TypeGuard

Object: TypeAlias = dict[str, Any]
Array: TypeAlias = list[Any]

SMALLEST_INTEGER = -(2**63)
LARGEST_INTEGER = 2**64 - 1
"""Of what all our encodings hold; a larger number is a text of digits."""

_MANY_DIGITS = re.compile(rb"[0-9]{19}")


def is_object(value: object) -> TypeGuard[Object]:
    """Tell whether a JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[Array]:
    """Tell whether a JSON value is a list."""
    return isinstance(value, list)


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell whether a JSON value is a number; a boolean is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_storable(number: int) -> bool:
    """Tell whether an integer fits into everything that a value goes through."""
    return SMALLEST_INTEGER <= number <= LARGEST_INTEGER


def may_hold_large_integers(text: bytes) -> bool:
    """Tell cheaply whether JSON text is worth a `large_integer`."""
    return _MANY_DIGITS.search(text) is not None


def large_integer(value: Any) -> str | None:
    """Give the JSON pointer of an integer that is not `is_storable`, if the value holds one."""
    waiting = [("", value)]
    while waiting:
        pointer, found = waiting.pop()
        if is_object(found):
            waiting += [(f"{pointer}/{pointer_token(name)}", member) for name, member in found.items()]
        elif is_array(found):
            waiting += [(f"{pointer}/{index}", member) for index, member in enumerate(found)]
        elif isinstance(found, int) and not is_storable(found):
            return pointer
    return None


def json_type(value: object) -> str:
    """Name a JSON value's type as JSON Schema does, but for `integer`, which is a number."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if is_number(value):
        return "number"
    return "array" if is_array(value) else "object"


def pointer_token(name: object) -> str:
    """Escape one name for a JSON pointer."""
    return str(name).replace("~", "~0").replace("/", "~1")
