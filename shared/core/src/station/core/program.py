"""A definition made ready for running: every scope's states by name, paths and expressions at hand."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from station.core.definition import Definition, Foreach, Parallel, State

Places: TypeAlias = tuple[str, ...]


class ScopeProgram(msgspec.Struct, frozen=True, eq=False):
    """The states of one scope: the top, a branch or an iterator."""

    start: str
    states: dict[str, State]


class Program(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A definition, indexed."""

    definition: Definition
    scopes: dict[Places, ScopeProgram]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a run that an operator can set."""

    max_states: int = 10_000
    max_output_bytes: int = 1024 * 1024
    max_context_bytes: int = 8 * 1024 * 1024


def compile_program(definition: Definition) -> Program:
    """Index a checked definition."""
    scopes: dict[Places, ScopeProgram] = {}
    _add(scopes, (), definition.start, definition.states)
    return Program(definition=definition, scopes=scopes)


def _add(scopes: dict[Places, ScopeProgram], places: Places, start: str, states: tuple[State, ...]) -> None:
    scopes[places] = ScopeProgram(start, {state.name: state for state in states})
    for state in states:
        match state:
            case Parallel():
                for branch in state.branches:
                    _add(scopes, (*places, state.name, branch.name), branch.start, branch.states)
            case Foreach():
                _add(scopes, (*places, state.name), state.iterator.start, state.iterator.states)
            case _:
                pass
