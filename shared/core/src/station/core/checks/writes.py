"""What each state of a definition writes into its scope, and where."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from station.core.definition import Foreach, Inject, Operation, Parallel, State
from station.core.jsonvalue import is_object
from station.core.paths import Path, PathError, parse_path

ERROR: Path = ("error",)
"""Where `onError` finds what went wrong."""
ANYWHERE: Path = ()
"""Written by a state that merges an object nobody knows beforehand into the root."""

_MAX_LEAVES = 200


def target_of(state: State, *, nested: bool) -> Path | None:
    """Say where a state's value goes; None for a switch, which writes nothing, and for a bad path."""
    match state:
        case Inject(result_path=None):
            return ANYWHERE
        case Operation(result_path=None) | Parallel(result_path=None) | Foreach(result_path=None):
            return ("result",) if nested else ("steps", state.name)
        case Operation() | Parallel() | Foreach() | Inject():
            return read_path(state.result_path or "ctx")
        case _:
            return None


def read_path(text: str | None) -> Path | None:
    """Parse a path; None for none and for a bad one, which is reported elsewhere."""
    try:
        return None if text is None else parse_path(text)
    except PathError:
        return None


def injected(target: Path, data: Any) -> list[Path]:
    """List the places an inject writes, down to the values that are no objects."""
    leaves: list[Path] = []
    for leaf in _leaves(target, data):
        leaves.append(leaf)
        if len(leaves) > _MAX_LEAVES:
            return [(*target, name) for name in data] if target == ANYWHERE else [target]
    return leaves


def _leaves(path: Path, data: Any) -> Iterator[Path]:
    if not is_object(data) or (not data and path):
        yield path
        return
    for name, member in data.items():
        yield from _leaves((*path, name), member)
