"""The invariants of the store, checked from the outside: every run is folded anew and compared with its rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from station.contracts.events import (
    EVENT_TYPES,
    TERMINAL_EVENTS,
    ApprovalApproved,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalTimedOut,
    StepStarted,
    StepSucceeded,
)
from station.contracts.health import DoctorReport, Finding
from station.core.evolve import create, evolve
from station.core.run import Run
from station.scheduler.engine import rows, tallies
from station.scheduler.engine.chain import GENESIS, link
from station.scheduler.engine.loading import EVENT_COLUMNS, event_of

_RUNS = "SELECT run_id FROM workflow_runs ORDER BY created_at DESC, run_id DESC LIMIT ?"
_LAST_HASH = "SELECT last_hash FROM workflow_runs WHERE run_id = ?"
_EVENTS = f"SELECT {EVENT_COLUMNS} FROM workflow_run_events WHERE run_id = ? ORDER BY seq"  # noqa: S608 - our own names
_LETTERS = "SELECT subject, reason, at FROM dead_letters ORDER BY id DESC LIMIT 100"
_AFTER_THE_END = frozenset({"late_result_ignored"})


def examine(connection: sqlite3.Connection, limit: int) -> DoctorReport:
    """Check the newest ``limit`` runs, each in a read transaction of its own: a long one keeps the log from folding."""
    findings: list[Finding] = []
    runs = [row[0] for row in connection.execute(_RUNS, (limit,))]
    events = 0
    for run_id in runs:
        connection.execute("BEGIN")
        try:
            (last_hash,) = connection.execute(_LAST_HASH, (run_id,)).fetchone()
            stored = connection.execute(_EVENTS, (run_id,)).fetchall()
            events += len(stored)
            findings += _examine_run(connection, run_id, last_hash, stored)
        finally:
            connection.execute("ROLLBACK")
    findings += tallies.compare(connection)
    findings += _integrity(connection)
    letters = [
        Finding(check="dead_letter", subject=subject, detail=reason)
        for subject, reason, _ in connection.execute(_LETTERS)
    ]
    return DoctorReport(
        checked_runs=len(runs), checked_events=events, findings=tuple(findings), dead_letters=tuple(letters)
    )


def _examine_run(
    connection: sqlite3.Connection, run_id: str, last_hash: str, stored: list[tuple[Any, ...]]
) -> Iterator[Finding]:
    yield from _chain(run_id, last_hash, stored)
    try:
        yield from _order(run_id, stored)
        yield from _approvals(run_id, stored)
        run = create(event_of(stored[0]))
        for row in stored[1:]:
            evolve(run, event_of(row))
    except Exception as error:  # noqa: BLE001 - a history that cannot be folded is what is looked for
        yield Finding(check="fold", subject=run_id, detail=f"the events cannot be folded: {error!r}")
        return
    yield from _compare(connection, run)
    yield from _wake_up(run)


def _chain(run_id: str, last_hash: str, stored: list[tuple[Any, ...]]) -> Iterator[Finding]:
    previous = GENESIS
    for index, row in enumerate(stored, start=1):
        _, seq, name, at, step_id, actor, data, value = row
        if seq != index:
            yield Finding(check="seq", subject=run_id, detail=f"event {index} is missing; there is {seq}")
            return
        if name not in EVENT_TYPES:
            yield Finding(check="type", subject=run_id, detail=f"event {seq} has the unknown type {name!r}")
        previous = link(previous, run_id, seq, name, at, step_id, actor, data.encode())
        if previous != value:
            yield Finding(check="hash_chain", subject=run_id, detail=f"event {seq} does not match its hash")
            return
    if not stored or previous != last_hash:
        yield Finding(check="hash_chain", subject=run_id, detail="the run's last hash is not that of its last event")


def _order(run_id: str, stored: list[tuple[Any, ...]]) -> Iterator[Finding]:
    """At most one success a step, nothing started after it, nothing but notes after the end, attempts that rise."""
    succeeded: set[str] = set()
    attempts: dict[str, int] = {}
    ended: str | None = None
    for row in stored:
        seq, name, step_id = row[1], row[2], row[4]
        if ended is not None and name not in _AFTER_THE_END:
            yield Finding(check="terminal", subject=run_id, detail=f"event {seq} ({name}) comes after {ended}")
        if name in TERMINAL_EVENTS:
            ended = name
        if name == "step_succeeded":
            if step_id in succeeded:
                yield Finding(check="one_success", subject=run_id, detail=f"step {step_id} succeeded twice")
            succeeded.add(step_id)
        if name == "step_started":
            if step_id in succeeded:
                yield Finding(check="one_success", subject=run_id, detail=f"step {step_id} started after its success")
            attempt = _attempt(row)
            if attempt < attempts.get(step_id, 0):
                yield Finding(check="attempts", subject=run_id, detail=f"step {step_id} went back to {attempt}")
            attempts[step_id] = attempt


def _approvals(run_id: str, stored: list[tuple[Any, ...]]) -> Iterator[Finding]:
    """Each approval is decided once, before its deadline, and not twice by the same person."""
    asked: dict[str, ApprovalRequested] = {}
    closed: set[str] = set()
    said: set[tuple[str, str]] = set()
    for row in stored:
        if not row[2].startswith("approval_"):
            continue
        event = event_of(row)
        match event.data:
            case ApprovalRequested():
                asked[event.data.approval_id] = event.data
            case ApprovalApproved() | ApprovalRejected():
                identity, by = event.data.approval_id, event.data.by
                request = asked.get(identity)
                deadline = None if request is None else request.deadline_at
                if request is None or identity in closed or (identity, by) in said:
                    detail = f"event {event.seq}: a decision on approval {identity}, which was not open to {by}"
                    yield Finding(check="one_decision", subject=run_id, detail=detail)
                elif deadline is not None and event.at >= deadline:
                    detail = f"event {event.seq}: approval {identity} was decided after its deadline"
                    yield Finding(check="one_decision", subject=run_id, detail=detail)
                said.add((identity, by))
                if not isinstance(event.data, ApprovalApproved) or event.data.decisive:
                    closed.add(identity)
            case ApprovalTimedOut():
                closed.add(event.data.approval_id)
            case _:
                pass


def _attempt(row: tuple[Any, ...]) -> int:
    data = event_of(row).data
    return data.attempt if isinstance(data, StepStarted | StepSucceeded) else 0


def _compare(connection: sqlite3.Connection, run: Run) -> Iterator[Finding]:
    """The rows that the fold gives must be those that are stored, byte for byte."""
    changes = run.changes
    folded: dict[str, list[tuple[Any, ...]]] = {
        "workflow_runs": [rows.run_row(run)],
        "workflow_run_documents": [rows.document_row(run)],
        "workflow_run_steps": [rows.step_row(run.run_id, step) for step in changes.steps.values()],
        "workflow_approvals": [rows.approval_row(run, approval) for approval in changes.approvals.values()],
        "workflow_signals": [rows.signal_row(run.run_id, signal) for signal in changes.signals.values()],
    }
    columns = {
        "workflow_runs": rows.RUN_COLUMNS,
        "workflow_run_documents": rows.DOCUMENT_COLUMNS,
        "workflow_run_steps": rows.STEP_COLUMNS,
        "workflow_approvals": rows.APPROVAL_COLUMNS,
        "workflow_signals": rows.SIGNAL_COLUMNS,
    }
    for table, expected in folded.items():
        sql = f"SELECT {', '.join(columns[table])} FROM {table} WHERE run_id = ?"  # noqa: S608 - our own names
        found = connection.execute(sql, (run.run_id,)).fetchall()
        yield from _differences(run.run_id, table, columns[table], expected, found)


def _differences(
    run_id: str,
    table: str,
    columns: tuple[str, ...],
    expected: list[tuple[Any, ...]],
    found: list[tuple[Any, ...]],
) -> Iterator[Finding]:
    key = repr
    ours, theirs = sorted(map(_plain, expected), key=key), sorted(map(_plain, found), key=key)
    if ours == theirs:
        return
    if len(ours) != len(theirs):
        detail = f"{table}: {len(theirs)} rows are stored, the events give {len(ours)}"
        yield Finding(check="rows_are_the_fold", subject=run_id, detail=detail)
        return
    for one, other in zip(ours, theirs, strict=True):
        names = [name for name, left, right in zip(columns, one, other, strict=True) if left != right]
        if names:
            yield Finding(
                check="rows_are_the_fold", subject=run_id, detail=f"{table}: {', '.join(names)} differ from the events"
            )


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(str(value) if isinstance(value, str) else value for value in row)


def _wake_up(run: Run) -> Iterator[Finding]:
    """A run that has not ended waits for something that will come."""
    if run.ended is None and not run.paused and not any(step.action for step in run.open.values()):
        yield Finding(check="wake_up", subject=run.run_id, detail=f"it is {run.status} and nothing will move it")


def _integrity(connection: sqlite3.Connection) -> Iterator[Finding]:
    for (line,) in connection.execute("PRAGMA quick_check"):
        if line != "ok":
            yield Finding(check="sqlite", subject="database", detail=line)
    for row in connection.execute("PRAGMA foreign_key_check"):
        yield Finding(check="foreign_keys", subject=str(row[0]), detail=f"row {row[1]} refers to a missing {row[2]}")
