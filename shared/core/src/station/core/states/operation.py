"""``operation``: one action. Its input is rendered once, when the state is entered, and stays for every attempt."""

from __future__ import annotations

from typing import Any

import msgspec

from station.contracts import actions
from station.contracts.errors import ErrorType, StepError
from station.core.checks.fields import MAX_SECONDS
from station.core.context import MissingPathError
from station.core.definition import Operation
from station.core.outcomes import fail
from station.core.run import Step
from station.core.states import approval, signal, timer
from station.core.states.arrival import Arrival
from station.core.tasks import step_task
from station.core.templates import RenderedTooLargeError, TemplateError, render
from station.core.turn import Turn

_INPUTS: dict[str, type[actions.ActionInput]] = {
    actions.AGENT_RUN: actions.AgentRunInput,
    actions.HUMAN_APPROVAL: actions.HumanApprovalInput,
    actions.SIGNAL_WAIT: actions.SignalWaitInput,
    actions.TIMER_WAIT: actions.TimerWaitInput,
}


def enter(turn: Turn, arrival: Arrival, state: Operation) -> None:
    """Render the input and begin the action."""
    rendered: Any = None
    try:
        rendered = render(state.input, arrival.snapshot, limit=turn.limits.max_input_bytes)
        wanted = msgspec.convert(rendered, _INPUTS[state.action])
    except (MissingPathError, TemplateError) as problem:
        step = arrival.entered(turn, "operation", action=state.action)
        _fail(turn, step, f"input of state {state.name!r}: {problem}")
    except RenderedTooLargeError as problem:
        step = arrival.entered(turn, "operation", action=state.action)
        message = f"input of state {state.name!r}: {problem}; give it less of the context, or a reference to it"
        _fail(turn, step, message, ErrorType.PAYLOAD_TOO_LARGE)
    except msgspec.ValidationError as problem:
        step = arrival.entered(turn, "operation", action=state.action, value=rendered)
        _fail(turn, step, f"input of state {state.name!r} for {state.action}: {problem}")
    else:
        step = arrival.entered(turn, "operation", action=state.action, value=rendered)
        seconds = getattr(wanted, "timeout_seconds", None)
        if seconds is not None and not 0 < seconds <= MAX_SECONDS:
            bounds = f"timeoutSeconds must be above 0 and at most {MAX_SECONDS}, not {seconds}"
            _fail(turn, step, f"input of state {state.name!r} for {state.action}: {bounds}")
            return
        _begin(turn, arrival, step, wanted, state)


def _begin(turn: Turn, arrival: Arrival, step: Step, wanted: Any, state: Operation) -> None:
    match wanted:
        case actions.AgentRunInput():
            turn.decision.tasks.append(step_task(turn, step))
        case actions.HumanApprovalInput():
            approval.ask(turn, arrival, step, wanted, state)
        case actions.SignalWaitInput():
            signal.listen(turn, step, wanted, state)
        case actions.TimerWaitInput():
            timer.wait(turn, step, wanted)
        case _:
            _fail(turn, step, f"nothing executes the action {state.action!r}")


def _fail(turn: Turn, step: Step, message: str, kind: ErrorType = ErrorType.VALIDATION) -> None:
    fail(turn, step, StepError(type=kind, message=message, retryable=False))
