"""``signal.wait``: something from outside. Signals are taken in the order in which they came, each by one step."""

from __future__ import annotations

from station.contracts.actions import SIGNAL_WAIT, SignalWaitInput
from station.contracts.errors import ErrorType, StepError
from station.contracts.events import SignalConsumed, SignalReceived, StepStarted
from station.contracts.statuses import StepStatus
from station.core.definition import Operation
from station.core.outcomes import fail, succeed
from station.core.run import Signal, Step
from station.core.tasks import smaller
from station.core.turn import Turn


def listen(turn: Turn, step: Step, wanted: SignalWaitInput, state: Operation) -> None:
    """Begin to wait; a signal that came early is taken at once."""
    seconds = smaller(wanted.timeout_seconds, state.timeout_seconds)
    wake_at = None if seconds is None else turn.now + round(seconds * 1000)
    turn.emit(StepStarted(attempt=step.attempt, signal=wanted.signal, wake_at=wake_at), step.step_id)
    take_waiting(turn, step)


def receive(turn: Turn, signal_id: str, name: str, payload: object) -> None:
    """Record a signal, and hand it to whoever has waited for it longest."""
    if signal_id in turn.run.signal_ids:
        turn.decision.verdict = "duplicate"
        return
    turn.decision.verdict = "accepted"
    turn.emit(SignalReceived(signal_id=signal_id, name=name, payload=payload))
    if not turn.run.paused:
        listener = next((step for step in turn.run.open.values() if _listens(step, name)), None)
        if listener is not None:
            _take(turn, listener, turn.run.waiting[signal_id])


def take_waiting(turn: Turn, step: Step) -> None:
    """Give a listening step the earliest signal of its name, if one waits."""
    for signal in turn.run.waiting.values():
        if _listens(step, signal.name):
            _take(turn, step, signal)
            return


def time_out(turn: Turn, step: Step) -> None:
    """Nobody sent the signal in time."""
    message = f"no signal {step.signal!r} came before the deadline"
    fail(turn, step, StepError(type=ErrorType.TIMEOUT, message=message, retryable=False), timed_out=True)


def _listens(step: Step, name: str) -> bool:
    return step.action == SIGNAL_WAIT and step.status is StepStatus.RUNNING and step.signal == name


def _take(turn: Turn, step: Step, signal: Signal) -> None:
    turn.emit(SignalConsumed(signal_id=signal.signal_id, name=signal.name), step.step_id)
    succeed(turn, step, signal.payload)
