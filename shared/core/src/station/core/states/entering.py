"""The way into any state: its identity, its visit, and the fact that says so."""

from __future__ import annotations

from typing import Any, assert_never

from station.contracts.errors import ErrorType, StepError
from station.core.context import Hiding
from station.core.definition import Foreach, Inject, Operation, Parallel, State, Switch
from station.core.evolve_states import counts
from station.core.run import Scope, ScopePath, Step
from station.core.states import foreach, inject, operation, parallel, switch
from station.core.states.arrival import Arrival
from station.core.turn import Entry, Turn


def work_off(turn: Turn) -> None:
    """Enter what the agenda holds, until only waiting work is left or a question must be answered first."""
    run, agenda = turn.run, turn.agenda
    while agenda and run.ended is None:
        entry = agenda.popleft()
        if run.visited >= turn.limits.max_states and _counts(entry):
            _fail_over_limit(turn, entry)
            return
        enter(turn, entry)


def enter(turn: Turn, entry: Entry) -> None:
    """Enter one state."""
    arrival = _arrival(turn, entry)
    if arrival is None:
        return
    state = arrival.state
    match state:
        case Operation():
            operation.enter(turn, arrival, state)
        case Switch():
            switch.enter(turn, arrival, state)
        case Parallel():
            parallel.enter(turn, arrival, state)
        case Inject():
            inject.enter(turn, arrival, state)
        case Foreach():
            foreach.enter(turn, arrival, state)
        case _:
            assert_never(state)


def _arrival(turn: Turn, entry: Entry) -> Arrival | None:
    scope = entry.scope
    if entry.key is None:
        state = turn.program.scopes[scope.places].states[entry.state_name]
        visit = scope.visits.get(entry.state_name, 0) + 1
        return Arrival(turn.run.run_id, state, scope.path, scope.foreach_index, visit, scope.layers)
    container = scope.current
    children = container.children if container is not None else None
    if container is None or children is None:
        return None
    return _first_arrival(turn, entry, container)


def _first_arrival(turn: Turn, entry: Entry, container: Step) -> Arrival | None:
    """Arrive at the first state of a branch or an iteration that is yet to begin."""
    children, parent = container.children, entry.scope
    if children is None or (children.keys is None and (children.errors or children.begun >= children.total)):
        return None
    iteration = children.keys is None
    key = children.begun if iteration else entry.key
    element: tuple[str | int, ...] = (container.state_name, key if key is not None else 0)
    path: ScopePath = (*parent.path, (*element, container.visit) if container.visit > 1 else element)
    places = (*parent.places, container.state_name) if iteration else (*parent.places, container.state_name, str(key))
    state: State = turn.program.scopes[places].states[entry.state_name]
    layers: list[Any] = [{}, *parent.layers]
    if isinstance(key, int) and children.items is not None:
        layers.insert(1, Hiding({children.item_name or "item": children.items[key], "index": key}))
    return Arrival(turn.run.run_id, state, path, key if isinstance(key, int) else None, 1, layers)


def _counts(entry: Entry) -> bool:
    """Tell whether entering counts towards the limit; a scope that is yet to begin is judged by what is around it."""
    scope = entry.scope
    if entry.key is None:
        return counts(scope, scope.visits.get(entry.state_name, 0) + 1)
    return counts(scope, scope.current.visit if scope.current else 1) and not _first_item(scope)


def _first_item(scope: Scope) -> bool:
    container = scope.current
    items = container is not None and container.children is not None and container.children.keys is None
    return items and container is not None and container.visit == 1 and not scope.revisited


def _fail_over_limit(turn: Turn, entry: Entry) -> None:
    message = (
        f"{turn.run.visited} states have been entered, the limit (STATION_MAX_STATES), and the way goes on to"
        f" {entry.state_name!r}: is there a loop that never ends?"
    )
    turn.fail_run(StepError(type=ErrorType.LIMIT, message=message, retryable=False), entry.state_name)
