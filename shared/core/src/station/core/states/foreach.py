"""``foreach``: the iterator once for each item, at most ``maxConcurrency`` at a time."""

from __future__ import annotations

from station.contracts.errors import ErrorType, StepError
from station.contracts.events import ForeachPlan
from station.core.context import MissingPathError
from station.core.definition import Foreach
from station.core.jsonvalue import is_array, json_type
from station.core.outcomes import fail, join
from station.core.paths import parse_path
from station.core.states.arrival import Arrival
from station.core.turn import Entry, Turn


def enter(turn: Turn, arrival: Arrival, state: Foreach) -> None:
    """Begin the first items; each one that ends begins the next."""
    count, problem = _count(arrival, state)
    plan = ForeachPlan(
        items_path=state.items_path,
        item_name=state.item_name,
        item_count=count,
        max_concurrency=state.max_concurrency,
    )
    step = arrival.entered(turn, "foreach", foreach=plan)
    if problem is not None:
        fail(turn, step, StepError(type=ErrorType.VALIDATION, message=problem, retryable=False))
    elif count == 0:
        join(turn, step)
    else:
        for index in range(min(count, state.max_concurrency)):
            turn.agenda.append(Entry(step.scope, state.iterator.start, index))


def _count(arrival: Arrival, state: Foreach) -> tuple[int, str | None]:
    try:
        items = arrival.read(parse_path(state.items_path))
    except MissingPathError as missing:
        return 0, f"itemsPath of state {state.name!r}: {missing}"
    if not is_array(items):
        return (
            0,
            f"itemsPath {state.items_path!r} of state {state.name!r} must be a list; it is of type {json_type(items)}",
        )
    return len(items), None
