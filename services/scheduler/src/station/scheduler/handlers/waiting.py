"""What a run that has not ended is doing and waiting for, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from station.contracts.actions import AGENT_RUN, HUMAN_APPROVAL, SIGNAL_WAIT, TIMER_WAIT
from station.contracts.statuses import RunStatus, StepStatus
from station.core.instants import to_text
from station.core.lifecycle import ENDED_STEPS
from station.core.run import Run


class OpenStep(msgspec.Struct, frozen=True):
    """The facts of a step that is not over."""

    state_name: str
    state_type: str
    action: str | None
    status: str
    signal: str | None
    wake_at: int | None


def open_steps(run: Run) -> list[OpenStep]:
    """Give the open steps of a run in memory."""
    return [
        OpenStep(step.state_name, step.state_type, step.action, step.status, step.signal, step.wake_at)
        for step in run.open.values()
        if step.status not in ENDED_STEPS
    ]


def current_states(steps: Sequence[OpenStep]) -> tuple[str, ...]:
    """Give the names of the states that are open, each once."""
    return tuple(dict.fromkeys(step.state_name for step in steps))


def waiting_for(status: Any, steps: Sequence[OpenStep]) -> str | None:
    """Say what the run waits for; None when it has ended."""
    if status == RunStatus.PAUSED:
        return "an operator to resume it"
    working = [step for step in steps if step.action is not None]
    if not working:
        return None
    parts = [_words(step) for step in working[:3]]
    if len(working) > 3:
        parts.append(f"{len(working) - 3} more steps")
    return "; ".join(parts)


def _words(step: OpenStep) -> str:
    until = f" until {to_text(step.wake_at)}" if step.wake_at is not None else ""
    if step.action == HUMAN_APPROVAL:
        return f"a person to decide {step.state_name!r}{until}"
    if step.action == SIGNAL_WAIT:
        return f"the signal {step.signal!r} in {step.state_name!r}{until}"
    if step.action == TIMER_WAIT:
        return f"the timer of {step.state_name!r}{until}"
    if step.action == AGENT_RUN and step.status == StepStatus.RUNNING:
        return f"the agent of {step.state_name!r} to finish"
    if step.wake_at is not None:
        return f"the next attempt of {step.state_name!r} at {to_text(step.wake_at)}"
    return f"a runner to take {step.state_name!r}"
