"""Reading and writing the context of a run.

Reads go through layers, innermost scope first, path by path: a local `steps.a` does not hide the parent's
`steps.b`. Writes go to one object. Both cost in proportion to the path, never to the context's size, but
for a read that ends on an object that several layers share: that one is merged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from station.core.jsonvalue import Array, Object, is_array, is_object
from station.core.paths import Path, format_path

_RESULT = "result"
_KNOWN_SHOWN = 10
_KNOWN_SEARCHED = 1000
_INDEX_DIGITS = 9


class MissingPathError(LookupError):
    """No value at a path: `at` is the part that was found, `known` the names there, nearest first."""

    def __init__(self, path: Path, at: Path, known: list[str]) -> None:
        place = f"{format_path(at)!r} has" if at else "the context has"
        names = ", ".join(known) if known else "no members"
        super().__init__(f"nothing at path {format_path(path)!r}: {place} {names}")
        self.path = path
        self.at = at
        self.known = known


class NotAnObjectError(ValueError):
    """A write whose parent at `at` holds something that is not an object."""

    def __init__(self, path: Path, at: Path) -> None:
        place = repr(format_path(at)) if at else "the value for the root"
        super().__init__(f"cannot write to {format_path(path)!r}: {place} is not an object")
        self.path = path
        self.at = at


def lookup(layers: Sequence[Mapping[str, Any]], path: Path) -> Any:
    """Give the value at a path through layers of objects, innermost first.

    The innermost layer that has a name decides: an object is read together with the outer layers' objects
    of that name, anything else alone. Where a value has no member `result`, `.result` is the value itself.
    The value is shared with its layer, not copied. Raises MissingPathError.
    """
    found: list[Any] = list(layers)
    for depth, name in enumerate(path):
        deeper = _step(found, name)
        if deeper:
            found = deeper
        elif name != _RESULT or depth == 0:
            raise MissingPathError(path, path[:depth], _nearest(name, _names(found)))
    return found[0] if len(found) == 1 else _merged(found)


def write(root: Object, path: Path, value: Any) -> None:
    """Put a value at a path of `root`, in place, making the parents that are missing.

    The empty path merges an object into the root, member by member at any depth. The value becomes part
    of the root: later writes may change it. Raises NotAnObjectError.
    """
    if not path:
        if not is_object(value):
            raise NotAnObjectError(path, path)
        _merge_into(root, value)
        return
    parent = root
    for depth, name in enumerate(path[:-1], start=1):
        child = parent.setdefault(name, {})
        if not is_object(child):
            raise NotAnObjectError(path, path[:depth])
        parent = child
    parent[path[-1]] = value


def _step(found: list[Any], name: str) -> list[Any]:
    """Go one name deeper; what was found is either objects, innermost first, or one other value."""
    first = found[0] if found else None
    if not isinstance(first, Mapping):
        return _indexed(first, name) if is_array(first) else []
    deeper: list[Any] = []
    for layer in found:
        if name in layer:
            value: Any = layer[name]
            if not is_object(value):
                return deeper or [value]
            deeper.append(value)
    return deeper


def _indexed(items: Array, name: str) -> list[Any]:
    if name.isascii() and name.isdigit() and len(name) <= _INDEX_DIGITS and int(name) < len(items):
        return [items[int(name)]]
    return []


def _merged(layers: Sequence[Mapping[str, Any]]) -> Object:
    merged: Object = {}
    for layer in reversed(layers):
        merged = _over(layer, merged)
    return merged


def _over(inner: Mapping[str, Any], outer: Mapping[str, Any]) -> Object:
    merged = dict(outer)
    for name, value in inner.items():
        below = merged.get(name)
        merged[name] = _over(value, below) if is_object(value) and is_object(below) else value
    return merged


def _merge_into(target: Object, addition: Object) -> None:
    for name, value in addition.items():
        present = target.get(name)
        if is_object(present) and is_object(value):
            _merge_into(present, value)
        else:
            target[name] = value


def _names(found: list[Any]) -> list[str]:
    if found and is_array(found[0]):
        return [f"indexes 0 to {len(found[0]) - 1}"] if found[0] else []
    names: dict[str, None] = {}
    for layer in found:
        if is_object(layer):
            names.update(dict.fromkeys(layer))
    return list(names)


def _nearest(name: str, names: list[str]) -> list[str]:
    searched = names[:_KNOWN_SEARCHED]
    near = get_close_matches(name, searched, n=_KNOWN_SHOWN, cutoff=0.5)
    rest = [other for other in searched if other not in near]
    return (near + rest)[:_KNOWN_SHOWN]
