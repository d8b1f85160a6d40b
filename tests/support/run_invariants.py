"""What must hold of a run after every message, whatever has happened. Every break is an AssertionError."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Any

import msgspec

from station.contracts.actions import AGENT_RUN, HUMAN_APPROVAL, SIGNAL_WAIT, TIMER_WAIT
from station.contracts.events import (
    TERMINAL_EVENTS,
    TYPE_NAMES,
    ApprovalApproved,
    ApprovalRejected,
    ApprovalTimedOut,
    Event,
    LateResultIgnored,
    StateEntered,
    StateExited,
    StepRedispatched,
    StepRetryScheduled,
    StepStarted,
    StepSucceeded,
)
from station.contracts.statuses import StepStatus
from station.core.evolve import fold
from station.core.run import Run, Step
from station.scheduler.engine import rows
from station.scheduler.engine.chain import GENESIS, seal
from station.scheduler.engine.loading import event_of

Rows = dict[Any, dict[str, Any]]


class History:
    """The store of one run: its events as text, and its rows as the shell writes them, turn by turn."""

    def __init__(self, created: Event) -> None:
        self.stored: list[tuple[Any, ...]] = []
        self.steps: Rows = {}
        self.approvals: Rows = {}
        self.signals: Rows = {}
        self._laws = Laws()
        self._last_hash = GENESIS
        self._keep([created])

    def append(self, events: list[Event], run: Run) -> None:
        """Take what one turn commits."""
        self._keep(events)
        collect(run, self.steps, self.approvals, self.signals)

    def check(self, run: Run, handed_out: Collection[tuple[str, int]] | None) -> None:
        """Compare the run and the rows with the fold of the stored events, and look at the laws of a single run."""
        folded = fold(self.events())
        assert snapshot(run) == snapshot(folded)
        steps: Rows = {}
        approvals: Rows = {}
        signals: Rows = {}
        collect(folded, steps, approvals, signals)
        assert (self.steps, self.approvals, self.signals) == (steps, approvals, signals)
        check_counters(run)
        check_structure(run)
        check_wake_up(run, handed_out)

    def events(self) -> Iterator[Event]:
        """Give the events as they come back from the store."""
        return map(event_of, self.stored)

    def _keep(self, events: list[Event]) -> None:
        for event in events:
            self._laws.take(event)
            sealed = seal(event, self._last_hash)
            self._last_hash = sealed.hash
            data = sealed.data.decode()
            self.stored.append(
                (sealed.run_id, sealed.seq, sealed.type, sealed.at, sealed.step_id, sealed.actor, data, sealed.hash)
            )


def collect(run: Run, steps: Rows, approvals: Rows, signals: Rows) -> None:
    """Write the rows of what has changed."""
    changes = run.take_changes()
    for step in changes.steps.values():
        row: dict[str, Any] = dict(zip(rows.STEP_COLUMNS, rows.step_row(run.run_id, step), strict=True))
        steps[row["entered_seq"], row["attempt"]] = row
    for approval in changes.approvals.values():
        approvals[approval.approval_id] = dict(
            zip(rows.APPROVAL_COLUMNS, rows.approval_row(run, approval), strict=True)
        )
    for signal in changes.signals.values():
        signals[signal.signal_id] = dict(zip(rows.SIGNAL_COLUMNS, rows.signal_row(run.run_id, signal), strict=True))


class Laws:
    """Looks at each event as it comes: the laws of a history that need no fold."""

    def __init__(self) -> None:
        self._seq = 0
        self._at = 0
        self._ended = False
        self._succeeded: set[str] = set()
        self._exited: set[str] = set()
        self._attempts: dict[str, int] = {}
        self._held: dict[str, int] = {}
        self._decided: set[str] = set()

    def take(self, event: Event) -> None:
        """Check one event against all before it."""
        kind, step, data = TYPE_NAMES[type(event.data)], event.step_id or "", event.data
        assert event.seq == self._seq + 1, "a hole in the numbering"
        assert event.at >= self._at
        assert not self._ended or isinstance(data, LateResultIgnored), f"{kind} after the end"
        self._seq, self._at = event.seq, event.at
        self._ended = self._ended or kind in TERMINAL_EVENTS
        match data:
            case StateEntered():
                assert step not in self._attempts, "a step id that was used before"
                self._attempts[step] = 1
            case StateExited():
                assert step not in self._exited, "a state left twice"
                self._exited.add(step)
            case StepStarted():
                self._check_started(step, data)
            case StepRedispatched():
                assert data.attempt == self._attempts[step]
                assert self._held.pop(step) is not None
            case StepSucceeded():
                assert data.attempt == self._attempts[step]
                assert step not in self._succeeded, "a second success"
                self._succeeded.add(step)
            case StepRetryScheduled():
                assert data.attempt == self._attempts[step] + 1, "attempts rise by one"
                assert step not in self._succeeded, "an attempt after a success"
                self._attempts[step] = data.attempt
                self._held.pop(step, None)
            case ApprovalApproved(decisive=True) | ApprovalRejected() | ApprovalTimedOut():
                assert data.approval_id not in self._decided, "an approval decided twice"
                self._decided.add(data.approval_id)
            case _:
                pass

    def _check_started(self, step: str, data: StepStarted) -> None:
        assert data.attempt == self._attempts[step]
        assert step not in self._succeeded, "started after a success"
        assert step not in self._held, "two runners at once"
        self._held[step] = data.attempt


def snapshot(run: Run) -> dict[str, Any]:
    """All of a run that matters later on, as plain data. What was touched and the bound on sizes are no part of it."""
    return {
        "run": rows.run_row(run),
        "ended": run.ended,
        "paused": run.paused,
        "visited": run.visited,
        "context": msgspec.to_builtins(run.context),
        "output": run.output,
        "counters": (run.executing, run.asking, run.listening),
        "open": [_step(run, step) for step in run.open.values()],
        "scopes": {path: _scope(scope) for path, scope in run.scopes.items()},
        "waiting": [rows.signal_row(run.run_id, signal) for signal in run.waiting.values()],
        "signal_ids": run.signal_ids,
        "closed": run.closed,
    }


def _scope(scope: Any) -> tuple[Any, ...]:
    current = scope.current.step_id if scope.current else None
    writes = msgspec.to_builtins(scope.writes)
    return (scope.path, scope.key, scope.places, scope.foreach_index, scope.visits, current, writes, len(scope.layers))


def _step(run: Run, step: Step) -> tuple[Any, ...]:
    children, approval = step.children, step.approval
    filling = None
    if children is not None:
        results = msgspec.to_builtins(children.results)
        filling = (
            children.keys,
            children.total,
            children.open,
            children.begun,
            children.items,
            results,
            children.errors,
        )
    return (
        rows.step_row(run.run_id, step),
        step.state_entered_at,
        filling,
        None if approval is None else rows.approval_row(run, approval),
    )


def check_counters(run: Run) -> None:
    """Count anew what the open steps do."""
    counts = Counter(_doing(step) for step in run.open.values())
    assert (run.executing, run.asking, run.listening) == (counts["runs"], counts["asks"], counts["listens"])


def _doing(step: Step) -> str:
    if step.action == AGENT_RUN:
        queued = step.status is StepStatus.PENDING and step.wake_at is None
        return "runs" if queued or step.status is StepStatus.RUNNING else "nothing"
    if step.action == HUMAN_APPROVAL:
        return "asks" if step.status is StepStatus.WAITING_APPROVAL else "nothing"
    return "listens" if step.action == SIGNAL_WAIT and step.status is StepStatus.RUNNING else "nothing"


def check_structure(run: Run) -> None:
    """Every scope has a current step that is open, every open container as many open scopes as it says."""
    if run.ended is not None:
        assert not run.open
        assert not run.scopes
        return
    if run.started_at is None:
        return
    for path, scope in run.scopes.items():
        assert scope.current is not None, f"nothing is current in {path}"
        assert run.open[scope.current.step_id] is scope.current
    below = Counter(scope.container.step_id for scope in run.scopes.values() if scope.container is not None)
    for step in run.open.values():
        assert step.scope.current is step
        if step.children is not None:
            assert below[step.step_id] == step.children.open > 0, f"{step.state_name} waits for nothing"


def check_wake_up(run: Run, handed_out: Collection[tuple[str, int]] | None) -> None:
    """A run that goes on has, at every open step that is no container, something that will move it on.

    ``handed_out`` holds what a runner may still find, by ``(step id, attempt)``; None leaves that to the caller.
    """
    if run.ended is not None or run.paused or run.started_at is None:
        return
    assert run.open
    for step in run.open.values():
        if step.children is None:
            mover = _MOVERS.get((step.action, step.status))
            assert mover is not None, f"{step.state_name} ({step.action}) is {step.status}: nothing moves it"
            assert mover(run, step, handed_out), f"{step.state_name} ({step.action}, {step.status}) is lost"


def _queued(_: Run, step: Step, handed_out: Collection[tuple[str, int]] | None) -> bool:
    return handed_out is None or step.wake_at is not None or (step.step_id, step.attempt) in handed_out


def _asked(_: Run, step: Step, __: object) -> bool:
    return step.approval is not None and step.wake_at == step.approval.deadline_at


def _listening(run: Run, step: Step, _: object) -> bool:
    return step.signal is not None and step.signal not in {signal.name for signal in run.waiting.values()}


_MOVERS: dict[tuple[str | None, StepStatus], Callable[[Run, Step, Collection[tuple[str, int]] | None], bool]] = {
    (AGENT_RUN, StepStatus.PENDING): _queued,
    (AGENT_RUN, StepStatus.RUNNING): lambda _, step, __: step.token is not None,
    (HUMAN_APPROVAL, StepStatus.WAITING_APPROVAL): _asked,
    (SIGNAL_WAIT, StepStatus.RUNNING): _listening,
    (TIMER_WAIT, StepStatus.RUNNING): lambda _, step, __: step.wake_at is not None,
}
"""What moves an open step on, by what it does and how it stands. Anything else is stuck."""
