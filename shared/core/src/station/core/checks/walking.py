"""Finds every state of a definition, however deep, with its place and its scope's place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from station.core.jsonvalue import Object, is_array, is_object


class Place(NamedTuple):
    """One state as data."""

    pointer: str
    scopes: tuple[str, ...]
    """Pointers of the scopes around it, outermost first; the last one is its own."""
    state: Object


def walk(scope: Any, pointer: str = "", around: tuple[str, ...] = ()) -> Iterator[Place]:
    """Give every state of a scope and of the scopes inside of it. Data of another shape is passed over."""
    states = scope.get("states") if is_object(scope) else None
    if not is_array(states):
        return
    scopes = (*around, pointer)
    for index, state in enumerate(states):
        if not is_object(state):
            continue
        place = f"{pointer}/states/{index}"
        yield Place(place, scopes, state)
        for inner, at in inner_scopes(state, place):
            yield from walk(inner, at, scopes)


def inner_scopes(state: Object, pointer: str) -> Iterator[tuple[Any, str]]:
    """Give the branches or the iterator of a state with their places."""
    if is_array(branches := state.get("branches")):
        for index, branch in enumerate(branches):
            yield branch, f"{pointer}/branches/{index}"
    if "iterator" in state:
        yield state["iterator"], f"{pointer}/iterator"
