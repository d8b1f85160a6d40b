"""A definition made ready for running: every scope's states by name, paths and expressions at hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from station.contracts.actions import AGENT_RUN
from station.core.definition import Definition, Foreach, Operation, Parallel, Schema, State
from station.core.schemas import Validator, compile_schema

Places: TypeAlias = tuple[str, ...]


class ScopeProgram(msgspec.Struct, frozen=True, eq=False):
    """The states of one scope: the top, a branch or an iterator."""

    start: str
    states: dict[str, State]


class Program(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A definition, indexed."""

    definition: Definition
    scopes: dict[Places, ScopeProgram]
    input_validator: Validator | None
    """For ``inputSchema``; None takes every object."""
    output_validator: Validator | None
    agents: frozenset[str]
    """Agents that are named outright, as ``name`` or ``name@environment``; a templated name shows only at run time."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a run that an operator can set."""

    max_states: int = 10_000
    """First visits for the items of a list are not counted."""
    max_output_bytes: int = 1024 * 1024
    max_context_bytes: int = 8 * 1024 * 1024
    max_input_bytes: int = 7 * 1024 * 1024
    """What templates may put into one step's input: with the rest of its task it fits into one message of the bus."""


def compile_program(definition: Definition) -> Program:
    """Index a checked definition."""
    scopes: dict[Places, ScopeProgram] = {}
    _add(scopes, (), definition.start, definition.states)
    return Program(
        definition=definition,
        scopes=scopes,
        input_validator=_validator(definition.input_schema),
        output_validator=_validator(definition.output_schema),
        agents=frozenset(_agents(scopes)),
    )


def _validator(schema: Schema | None) -> Validator | None:
    return None if schema is None else compile_schema(schema)


def _agents(scopes: dict[Places, ScopeProgram]) -> Iterator[str]:
    for scope in scopes.values():
        for state in scope.states.values():
            if isinstance(state, Operation) and state.action == AGENT_RUN:
                agent = state.input.get("agent")
                if isinstance(agent, str) and "{{" not in agent:
                    yield agent


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
