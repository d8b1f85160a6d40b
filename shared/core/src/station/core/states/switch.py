"""``switch``: the first condition that holds decides. A condition that cannot be told fails the step, never "false"."""

from __future__ import annotations

from typing import Any

from station.contracts.errors import ErrorType, StepError
from station.contracts.statuses import StepStatus
from station.core.context import MissingPathError
from station.core.decision import Evaluation
from station.core.definition import Switch
from station.core.expressions import EvaluationError, Expression, NotCheap, bindings, compile_expression, evaluate_cheap
from station.core.outcomes import fail, leave
from station.core.paths import parse_path
from station.core.run import Step
from station.core.states.arrival import Arrival
from station.core.turn import Turn


def enter(turn: Turn, arrival: Arrival, state: Switch) -> None:
    """Decide now if every condition asked is cheap; else ask the evaluators, who answer in the same turn."""
    step = arrival.entered(turn, "switch")
    expressions = tuple(compile_expression(condition.if_) for condition in state.conditions)
    names: dict[str, Any] = {}
    try:
        names = _bindings(arrival, state, expressions)
        matched = _first_true(expressions, names)
    except MissingPathError as missing:
        _fail(turn, step, f"dataPath of switch {state.name!r}: {missing}")
    except NotCheap:
        turn.decision.evaluations.append(Evaluation(step_id=step.step_id, expressions=expressions, bindings=names))
    except EvaluationError as problem:
        _fail(turn, step, f"switch {state.name!r}: {problem}")
    else:
        decide(turn, step, matched)


def decide(turn: Turn, step: Step, matched: int, problem: str | None = None) -> None:
    """Go the way of the condition that holds: -1 is none of them."""
    state = turn.state_of(step)
    if not isinstance(state, Switch):
        return
    if problem is not None:
        _fail(turn, step, f"switch {state.name!r}: {problem}")
        return
    target = state.conditions[matched].next if matched >= 0 else state.default_next or state.next
    if target is None and not state.end:
        _fail(turn, step, f"switch {state.name!r}: no condition holds and there is no defaultNext")
        return
    leave(turn, step, StepStatus.SUCCEEDED, next_state=target, matched=matched if matched >= 0 else None)


def _bindings(arrival: Arrival, state: Switch, expressions: tuple[Expression, ...]) -> dict[str, Any]:
    has_data = state.data_path is not None
    data = arrival.read(parse_path(state.data_path)) if state.data_path is not None else None

    def root(name: str) -> Any:
        return arrival.read(() if name == "ctx" else (name,))

    return bindings(*expressions, root_lookup=root, data_value=data, has_data=has_data)


def _first_true(expressions: tuple[Expression, ...], names: dict[str, Any]) -> int:
    for index, expression in enumerate(expressions):
        if evaluate_cheap(expression, names):
            return index
    return -1


def _fail(turn: Turn, step: Step, message: str) -> None:
    fail(turn, step, StepError(type=ErrorType.EXPRESSION, message=message, retryable=False))
