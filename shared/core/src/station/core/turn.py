"""One turn: a message being decided. It emits facts, applies each at once, and keeps what is still to be entered.

The agenda is a queue, not a recursion, so that a chain of thousands of states costs no stack.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from station.contracts.errors import StepError
from station.contracts.events import Event, EventData, RunFailed, StepCancelled
from station.core.decision import Decision, Refusal, Stop
from station.core.definition import State
from station.core.evolve import evolve
from station.core.lifecycle import ENDED_STEPS
from station.core.messages import ReportStep
from station.core.program import Limits, Program
from station.core.run import Run, Scope, Step

SYSTEM = "system:scheduler"


class Entry(msgspec.Struct, frozen=True):
    """A state to be entered; with a container, in the next of its scopes (``key``) that is yet to begin."""

    scope: Scope
    state_name: str
    key: str | int | None = None
    """Branch or index of the scope to begin below ``scope``; None enters the state in ``scope`` itself."""


class Turn:
    """The working state of one decision. The run is moved on in place: if the commit fails, it must be dropped."""

    __slots__ = ("actor", "agenda", "decision", "limits", "now", "program", "report", "run")

    def __init__(self, program: Program, run: Run, now: int, limits: Limits) -> None:
        self.program = program
        self.run = run
        self.now = max(now, run.last_at)
        """The run's time: the clock's, and never before its last event, though the clock was set back."""
        self.limits = limits
        self.actor = SYSTEM
        self.decision = Decision()
        self.agenda: deque[Entry] = deque()
        self.report: ReportStep | None = None
        """The report that this turn has accepted: what follows from it may go to its sender."""

    def emit(self, data: EventData, step_id: str | None = None, actor: str | None = None) -> Event:
        """State a fact and apply it."""
        run = self.run
        event = Event(
            run_id=run.run_id,
            seq=run.seq + 1,
            at=self.now,
            step_id=step_id,
            actor=actor or self.actor,
            data=data,
        )
        evolve(run, event)
        self.decision.events.append(event)
        return event

    def refuse(self, code: str, detail: str, **context: Any) -> None:
        """Answer that the message is not accepted."""
        self.decision.refusal = Refusal(code=code, detail=detail, context=context)

    def state_of(self, step: Step) -> State:
        """Give the definition of a step's state."""
        return self.program.scopes[step.scope.places].states[step.state_name]

    def stop(self, step: Step) -> None:
        """Have the runner of a claimed attempt told to stop."""
        if step.token is not None:
            self.decision.stops.append(Stop(step_id=step.step_id, attempt=step.attempt, token=step.token))

    def close_open_steps(self, reason: str) -> None:
        """Cancel every attempt that has no outcome yet, and hand nothing out: the run is about to end."""
        self.decision.tasks.clear()
        self.decision.asks.clear()
        for step in list(self.run.open.values()):
            if step.status not in ENDED_STEPS:
                self.stop(step)
                self.emit(StepCancelled(attempt=step.attempt, reason=reason), step.step_id)

    def fail_run(self, error: StepError, state_name: str | None) -> None:
        """End the run with an error that nothing handled."""
        self.agenda.clear()
        self.close_open_steps(f"the run failed: {error.message}"[:500])
        self.emit(RunFailed(error=error, state_name=state_name))
