"""A schema without references: each put where it is used, so that any part of it stands for itself."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import msgspec

from station.core.jsonvalue import Object, is_array, is_object

_MAX_NODES = 4000
_MAX_DEPTH = 64
_ELSEWHERE = ("$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor", "$id")
_DEFINITIONS = ("$defs", "definitions", "$schema")
_VALUES = ("const", "enum", "default", "examples")
_NAMED = ("properties", "patternProperties", "dependentSchemas")


class _Unresolvable(ValueError):
    """A reference that goes in circles, leads nowhere, or makes the schema too large."""


def without_references(schema: Any) -> Any:
    """Give an equal schema with no reference in it; None if there is none of a bounded size."""
    try:
        if b'"$' not in msgspec.json.encode(schema):
            return schema
        return _Inlining(schema).of(schema, 0)
    except _Unresolvable:
        return None


class _Inlining:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = _MAX_NODES

    def of(self, schema: Any, depth: int) -> Any:
        self._left -= 1
        if depth > _MAX_DEPTH or self._left < 0:
            raise _Unresolvable
        if is_array(schema):
            return [self.of(member, depth + 1) for member in schema]
        if not is_object(schema):
            return schema
        if depth and any(name in schema for name in _ELSEWHERE):
            raise _Unresolvable
        plain = {
            name: self._keyword(name, member, depth)
            for name, member in schema.items()
            if name != "$ref" and name not in _DEFINITIONS
        }
        if "$ref" not in schema:
            return plain
        meant = self.of(self._found(schema["$ref"]), depth + 1)
        return {**plain, "allOf": [*plain.get("allOf", []), meant]} if plain else meant

    def _keyword(self, name: str, member: Any, depth: int) -> Any:
        if name in _VALUES:
            return member
        if name in _NAMED and is_object(member):
            named: Object = {}
            for inner, schema in member.items():
                named[inner] = self.of(schema, depth + 1)
            return named
        return self.of(member, depth + 1)

    def _found(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise _Unresolvable
        found = self._root
        for token in reference.split("/")[1:]:
            name = unquote(token).replace("~1", "/").replace("~0", "~")
            if is_object(found) and name in found:
                found = found[name]
            elif is_array(found) and name.isascii() and name.isdigit() and int(name[:9]) < len(found):
                found = found[int(name)]
            else:
                raise _Unresolvable
        return found
