"""JSON values as Python holds them, and how a type checker is told which one is at hand."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeGuard

Object: TypeAlias = dict[str, Any]
Array: TypeAlias = list[Any]


def is_object(value: object) -> TypeGuard[Object]:
    """Tell whether a JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[Array]:
    """Tell whether a JSON value is a list."""
    return isinstance(value, list)


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell whether a JSON value is a number; a boolean is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


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
