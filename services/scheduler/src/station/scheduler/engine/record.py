"""One turn as a unit of work: the run's row (guarded by its last hash), steps, events, approvals, signals, outbox."""

from __future__ import annotations

import msgspec

from station.contracts import subjects
from station.contracts.events import StepRedispatched
from station.contracts.work import StepTask
from station.core.decision import Decision
from station.core.run import Run, Step
from station.runtime import telemetry
from station.scheduler.engine import rows
from station.scheduler.engine import statements as sql
from station.scheduler.engine.chain import GENESIS, StoredEvent, seal
from station.scheduler.store.writer import Unit

_pack = msgspec.msgpack.Encoder().encode


class TaskMessage(msgspec.Struct, frozen=True, array_like=True):
    """A task as the outbox keeps it."""

    subject: str
    body: bytes
    traceparent: str
    key: str
    """Its idempotency key."""
    replaces: bool = False
    """Whether an older message on the same subject must go first: its runner is gone."""


class Outgoing(msgspec.Struct, kw_only=True):
    """One outbox row: the events and tasks of one turn, on their way to the broker."""

    id: int
    run_id: str
    events: list[StoredEvent]
    tasks: list[TaskMessage]
    trace_id: int
    created_at: int


def record_creation(unit: Unit, run: Run, last_hash: str) -> None:
    """Add the rows of a new run."""
    unit.add(sql.INSERT_RUN, (*rows.run_row(run), last_hash))
    unit.add(sql.INSERT_DOCUMENT, rows.document_row(run))


def record_move(unit: Unit, run: Run, last_hash: str, hash_before: str) -> None:
    """Add the update of the run's row; it fails unless the stored history is the one that the turn was decided on."""
    status, usage = run.status, rows.text_or_none(run.usage)
    if run.ended is None:
        unit.add_guarded(sql.MOVE_RUN, (status, run.seq, last_hash, run.started_at, usage, run.run_id, hash_before))
        return
    error = rows.text_or_none(run.error)
    unit.add_guarded(
        sql.END_RUN,
        (status, run.seq, last_hash, run.started_at, usage, error, run.completed_at, run.run_id, hash_before),
    )
    _, __, context, output = rows.document_row(run)
    unit.add(sql.END_DOCUMENT, (context, output, run.run_id))


def record_changes(unit: Unit, run: Run) -> list[Step]:
    """Add the rows of everything the turn touched, and give the touched attempts."""
    changes = run.take_changes()
    for step in changes.steps.values():
        _record_step(unit, run.run_id, step)
    for approval in changes.approvals.values():
        unit.add(sql.UPSERT_APPROVAL, rows.approval_row(run, approval))
    for signal in changes.signals.values():
        unit.add(sql.UPSERT_SIGNAL, rows.signal_row(run.run_id, signal))
    return list(changes.steps.values())


def seal_events(decision: Decision, last_hash: str) -> list[StoredEvent]:
    """Encode the events, each chained to the one before."""
    sealed: list[StoredEvent] = []
    for event in decision.events:
        stored = seal(event, last_hash or GENESIS)
        last_hash = stored.hash
        sealed.append(stored)
    return sealed


def record_events(unit: Unit, events: list[StoredEvent]) -> None:
    """Add the rows of the events."""
    for event in events:
        unit.add(
            sql.INSERT_EVENT,
            (
                event.run_id,
                event.seq,
                event.type,
                event.at,
                event.step_id,
                event.actor,
                event.data.decode(),
                event.hash,
            ),
        )


def record_outgoing(unit: Unit, outgoing: Outgoing) -> None:
    """Add the outbox row."""
    first, last = outgoing.events[0].seq, outgoing.events[-1].seq
    body = _pack(outgoing.tasks)
    unit.add(sql.INSERT_OUTBOX, (outgoing.id, outgoing.run_id, first, last, body, outgoing.created_at))


def task_messages(run: Run, decision: Decision, trace_id: int) -> list[TaskMessage]:
    """Give the messages of a decision's tasks and approvals."""
    again = {event.step_id for event in decision.events if isinstance(event.data, StepRedispatched)}
    messages = [task_message(task, trace_id, replaces=task.step_id in again) for task in decision.tasks]
    for ask in decision.asks:
        span = telemetry.step_span_id(run.run_id, ask.step_id, 1)
        messages.append(
            TaskMessage(
                subject=subjects.task_approval(run.run_id, ask.step_id),
                body=_pack(ask),
                traceparent=telemetry.traceparent(trace_id, span),
                key=ask.approval_id,
            )
        )
    return messages


def task_message(task: StepTask, trace_id: int, *, replaces: bool = False) -> TaskMessage:
    """Give the message of one attempt."""
    span = telemetry.step_span_id(task.run_id, task.step_id, task.attempt)
    return TaskMessage(
        subject=subjects.task_step(task.run_id, task.step_id, task.attempt),
        body=_pack(task),
        traceparent=telemetry.traceparent(trace_id, span),
        key=task.idempotency_key,
        replaces=replaces,
    )


def _record_step(unit: Unit, run_id: str, step: Step) -> None:
    if not step.stored:
        unit.add(sql.INSERT_STEP, rows.step_row(run_id, step))
        step.stored = True
        return
    unit.add_guarded(
        sql.UPDATE_STEP,
        (
            step.status,
            rows.step_output(step),
            rows.text_or_none(step.error),
            step.agent_run_id,
            step.token,
            step.runner,
            step.signal,
            step.started_at,
            step.completed_at,
            step.wake_at,
            rows.text_or_none(step.usage),
            rows.text_or_none(step.agent),
            run_id,
            step.entered_seq,
            step.attempt,
        ),
    )
