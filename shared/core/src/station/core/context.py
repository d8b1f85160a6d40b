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


class Owned(dict[str, Any]):
    """An object that belongs to the context: writes may change it in place.

    Every other object in a context is shared with what it came from (an output, an input, the definition, a branch
    that has ended) and is copied, one level at a time, before something is written into it.
    """

    __slots__ = ("owner",)
    owner: object

    def __init__(self, content: Any = (), *, owner: object | None = None) -> None:
        super().__init__(content)
        self.owner = owner or object()


class Hiding(dict[str, Any]):
    """A layer whose members hide those of the layers around it entirely: the item of an iteration."""

    __slots__ = ()


class Fallback(dict[str, Any]):
    """The outermost layer, whose members are seen only where no other layer has the name: the run's input."""

    __slots__ = ()


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
    The value is shared with its layer: later writes may show in it. Raises MissingPathError.
    """
    return _joined(_find(layers, path))


def snapshot(layers: Sequence[Mapping[str, Any]], path: Path) -> Any:
    """Give the value at a path as `lookup` does, as it stands: no later write shows in it. Raises MissingPathError."""
    return _joined([_detached(value) for value in _find(layers, path)])


def _find(layers: Sequence[Mapping[str, Any]], path: Path) -> list[Any]:
    found: list[Any] = list(layers)
    for depth, name in enumerate(path):
        deeper = _step(found, name)
        if deeper:
            found = deeper
        elif name != _RESULT or depth == 0:
            raise MissingPathError(path, path[:depth], _nearest(name, _names(found)))
    return found


def _joined(found: list[Any]) -> Any:
    return found[0] if len(found) == 1 else _merged(found)


def _detached(value: Any) -> Any:
    """Copy the objects that writes change in place; all others are never changed."""
    if not isinstance(value, Owned):
        return value
    copy: Object = {}
    for name, member in value.items():
        copy[name] = _detached(member)
    return copy


def write(root: Owned, path: Path, value: Any) -> None:
    """Put a value at a path of `root`, in place, making the parents that are missing.

    The empty path merges an object into the root, member by member at any depth. The value itself is shared,
    never changed by later writes. Raises NotAnObjectError, with nothing written.
    """
    check_writable(root, path, value)
    if not path:
        _merge_into(root, value)
        return
    parent = root
    for name in path[:-1]:
        parent = _owned_child(parent, name)
    parent[path[-1]] = value


def check_writable(root: Object, path: Path, value: Any) -> None:
    """Raise NotAnObjectError if a write of the value would meet a parent that is not an object."""
    if not path and not is_object(value):
        raise NotAnObjectError(path, path)
    parent = root
    for depth, name in enumerate(path[:-1], start=1):
        if name not in parent:
            return
        child = parent[name]
        if not is_object(child):
            raise NotAnObjectError(path, path[:depth])
        parent = child


def _step(found: list[Any], name: str) -> list[Any]:
    """Go one name deeper; what was found is either objects, innermost first, or one other value."""
    first = found[0] if found else None
    if not isinstance(first, Mapping):
        return _indexed(first, name) if is_array(first) else []
    deeper: list[Any] = []
    for layer in found:
        if name in layer and not (deeper and isinstance(layer, Fallback)):
            value: Any = layer[name]
            if not is_object(value):
                return deeper or [value]
            deeper.append(value)
            if isinstance(layer, Hiding):
                return deeper
    return deeper


def _indexed(items: Array, name: str) -> list[Any]:
    if name.isascii() and name.isdigit() and len(name) <= _INDEX_DIGITS and int(name) < len(items):
        return [items[int(name)]]
    return []


def _merged(layers: Sequence[Mapping[str, Any]]) -> Object:
    merged: Object = {}
    for layer in reversed(layers):
        if not isinstance(layer, Fallback):
            merged = {**merged, **layer} if isinstance(layer, Hiding) else _over(layer, merged)
    for layer in layers:
        if isinstance(layer, Fallback):
            merged = {**layer, **merged}
    return merged


def _over(inner: Mapping[str, Any], outer: Mapping[str, Any]) -> Object:
    merged = dict(outer)
    for name, value in inner.items():
        below = merged.get(name)
        merged[name] = _over(value, below) if is_object(value) and is_object(below) else value
    return merged


def _owned_child(parent: Owned, name: str) -> Owned:
    child = parent.get(name)
    if not isinstance(child, Owned) or child.owner is not parent.owner:
        child = parent[name] = Owned(child or (), owner=parent.owner)
    return child


def _merge_into(target: Owned, addition: Object) -> None:
    for name, value in addition.items():
        if is_object(value) and is_object(target.get(name)):
            _merge_into(_owned_child(target, name), value)
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
