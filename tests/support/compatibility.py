"""A message as a newer or an older sender would write it: with fields that we do not know, or without added ones."""

from collections.abc import Mapping
from typing import Any

import msgspec

UNKNOWN = "addedLater"


def with_unknown_fields(value: Any) -> Any:
    """The plain data of a message, with a field that nobody knows in every struct of it that allows one."""
    if isinstance(value, msgspec.Struct):
        known = {field: with_unknown_fields(item) for field, item in _fields(value).items()}
        return known if value.__struct_config__.forbid_unknown_fields else {**known, UNKNOWN: {"x": [1, None]}}
    return _inside(value, with_unknown_fields)


def only_required(value: Any) -> Any:
    """The plain data of a message, of each struct only the fields that have no default."""
    if isinstance(value, msgspec.Struct):
        required = {field.encode_name for field in msgspec.structs.fields(value) if field.required}
        return {name: only_required(item) for name, item in _fields(value).items() if name in required}
    return _inside(value, only_required)


def defaults_of(value: msgspec.Struct) -> dict[str, Any]:
    """What each field that may be left out must then be, by the field's name."""
    return {
        field.name: field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        for field in msgspec.structs.fields(value)
        if not field.required
    }


def _fields(value: msgspec.Struct) -> dict[str, Any]:
    """By the name on the wire; what is not set is not there."""
    return {
        field.encode_name: item
        for field in msgspec.structs.fields(value)
        if (item := getattr(value, field.name)) is not msgspec.UNSET
    }


def _inside(value: Any, change: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: change(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [change(item) for item in value]
    return value
