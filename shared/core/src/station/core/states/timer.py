"""``timer.wait``: a pause of so many seconds, or until a moment."""

from __future__ import annotations

from station.contracts.actions import TimerWaitInput
from station.contracts.errors import ErrorType, StepError
from station.contracts.events import StepStarted
from station.core.instants import from_text, to_text
from station.core.outcomes import fail, succeed
from station.core.run import Step
from station.core.turn import Turn

_LONGEST_SECONDS = 10 * 366 * 24 * 3600


def wait(turn: Turn, step: Step, wanted: TimerWaitInput) -> None:
    """Begin the pause; a moment that has passed is due at once."""
    try:
        due = _due(turn.now, wanted)
    except ValueError as problem:
        fail(turn, step, StepError(type=ErrorType.VALIDATION, message=f"timer.wait: {problem}", retryable=False))
        return
    turn.emit(StepStarted(attempt=step.attempt, wake_at=due), step.step_id)


def fire(turn: Turn, step: Step) -> None:
    """The moment has come."""
    succeed(turn, step, {"firedAt": to_text(turn.now)})


def _due(now: int, wanted: TimerWaitInput) -> int:
    if (wanted.seconds is None) == (wanted.until is None):
        message = "give either seconds or until"
        raise ValueError(message)
    if wanted.until is not None:
        return max(now, from_text(wanted.until))
    seconds = wanted.seconds or 0.0
    if not 0 <= seconds <= _LONGEST_SECONDS:
        message = f"seconds must be between 0 and {_LONGEST_SECONDS}, not {seconds}"
        raise ValueError(message)
    return now + round(seconds * 1000)
