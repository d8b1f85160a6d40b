"""``evolve(run, event)``: how each fact changes a run.

No rule is checked here and no definition is needed: what an event says has happened. A run is the fold of its
events, whoever folds them and whenever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from station.contracts import events as facts
from station.contracts.events import Event
from station.contracts.statuses import RunStatus
from station.core import evolve_states, evolve_steps
from station.core.context import Fallback, Owned
from station.core.run import Closed, Run, Scope, Signal


def create(event: Event) -> Run:
    """Give the run that its first event, ``run_created``, describes."""
    data = event.data
    if not isinstance(data, facts.RunCreated):
        message = f"the first event of run {event.run_id} is not run_created"
        raise TypeError(message)
    writes = Owned(data.input)
    writes["steps"] = Owned(owner=writes.owner)
    layers: list[Mapping[str, Any]] = [writes, Fallback({"input": data.input})]
    root = Scope(path=(), key=None, container=None, writes=writes, layers=layers, places=())
    run = Run(
        run_id=event.run_id,
        workflow_id=data.workflow_id,
        version=data.version,
        environment=data.environment,
        input=data.input,
        labels=data.labels,
        started_by=data.started_by,
        created_at=event.at,
        deadline_at=data.deadline_at,
        traceparent=data.traceparent,
        agents=data.agents,
        root=root,
        seq=event.seq,
        last_at=event.at,
    )
    run.scopes[()] = root
    return run


def evolve(run: Run, event: Event) -> Run:
    """Apply one event to the run, in place, and give the run back."""
    if event.seq != run.seq + 1:
        message = f"run {run.run_id} is at event {run.seq} and cannot take event {event.seq}"
        raise ValueError(message)
    run.seq, run.last_at = event.seq, event.at
    _APPLY[type(event.data)](run, event, event.data)
    return run


def fold(events: Iterable[Event]) -> Run:
    """Give the run that a whole history builds."""
    remaining = iter(events)
    run = create(next(remaining))
    for event in remaining:
        evolve(run, event)
    return run


def _run_started(run: Run, event: Event, _: facts.RunStarted) -> None:
    run.started_at = event.at


def _run_paused(run: Run, _: Event, __: facts.RunPaused) -> None:
    run.paused = True


def _run_resumed(run: Run, _: Event, __: facts.RunResumed) -> None:
    run.paused = False


def _run_completed(run: Run, event: Event, data: facts.RunCompleted) -> None:
    run.output = data.output
    _end(run, event, RunStatus.COMPLETED)


def _run_failed(run: Run, event: Event, data: facts.RunFailed) -> None:
    run.error = data.error
    _end(run, event, RunStatus.FAILED)


def _run_cancelled(run: Run, event: Event, _: facts.RunCancelled) -> None:
    _end(run, event, RunStatus.CANCELLED)


def _run_timed_out(run: Run, event: Event, data: facts.RunTimedOut) -> None:
    run.error = data.error
    _end(run, event, RunStatus.TIMED_OUT)


def _end(run: Run, event: Event, status: RunStatus) -> None:
    run.ended = status
    run.completed_at = event.at
    run.paused = False
    for step in run.open.values():
        run.closed[step.step_id] = Closed(step.attempt, step.token, step.reported)
    run.scopes.clear()
    run.open.clear()
    run.executing = run.asking = run.listening = 0


def _signal_received(run: Run, event: Event, data: facts.SignalReceived) -> None:
    signal = Signal(
        signal_id=data.signal_id,
        name=data.name,
        payload=data.payload,
        received_at=event.at,
        received_seq=event.seq,
    )
    run.waiting[signal.signal_id] = signal
    run.signal_ids.add(signal.signal_id)
    run.changes.signals[signal.signal_id] = signal


def _signal_consumed(run: Run, event: Event, data: facts.SignalConsumed) -> None:
    signal = run.waiting.pop(data.signal_id)
    signal.consumed_by = event.step_id
    run.changes.signals[signal.signal_id] = signal


_APPLY: dict[type[Any], Callable[[Run, Event, Any], None]] = {
    facts.RunStarted: _run_started,
    facts.RunPaused: _run_paused,
    facts.RunResumed: _run_resumed,
    facts.RunCompleted: _run_completed,
    facts.RunFailed: _run_failed,
    facts.RunCancelled: _run_cancelled,
    facts.RunTimedOut: _run_timed_out,
    facts.StateEntered: evolve_states.state_entered,
    facts.StateExited: evolve_states.state_exited,
    facts.StepStarted: evolve_steps.step_started,
    facts.StepSucceeded: evolve_steps.step_succeeded,
    facts.StepFailed: evolve_steps.step_failed,
    facts.StepTimedOut: evolve_steps.step_timed_out,
    facts.StepCancelled: evolve_steps.step_cancelled,
    facts.StepRetryScheduled: evolve_steps.step_retry_scheduled,
    facts.StepRedispatched: evolve_steps.step_redispatched,
    facts.ApprovalRequested: evolve_steps.approval_requested,
    facts.ApprovalApproved: evolve_steps.approval_approved,
    facts.ApprovalRejected: evolve_steps.approval_rejected,
    facts.ApprovalTimedOut: evolve_steps.approval_timed_out,
    facts.SignalReceived: _signal_received,
    facts.SignalConsumed: _signal_consumed,
    facts.LateResultIgnored: evolve_steps.late_result_ignored,
}
