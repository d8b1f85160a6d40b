"""What the database holds when all is over, read without the engine."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tests.chaos_rig.players import LABEL

EVENTS = "SELECT run_id, seq, type, at, step_id, actor, data, hash FROM workflow_run_events ORDER BY run_id, seq"
RUNS = """
SELECT r.run_id, r.workflow_id, r.status, r.labels, d.context FROM workflow_runs r
JOIN workflow_run_documents d ON d.run_id = r.run_id
"""
APPROVALS = "SELECT approval_id, run_id, status, approvers, quorum, decisions, deadline_at FROM workflow_approvals"
SIGNALS = "SELECT run_id, signal_id, payload, consumed_by FROM workflow_signals"
LETTERS = "SELECT subject, reason, at FROM dead_letters ORDER BY id"


class Event(Struct, frozen=True):
    run_id: str
    seq: int
    type: str
    at: int
    step_id: str | None
    actor: str
    data: dict[str, Any]
    hash: str


class StoredRun(Struct, frozen=True):
    run_id: str
    workflow_id: str
    status: str
    key: str | None
    context: dict[str, Any]


class StoredApproval(Struct, frozen=True):
    approval_id: str
    run_id: str
    status: str
    approvers: list[str]
    quorum: int
    decisions: list[dict[str, Any]]
    deadline_at: int | None


class StoredSignal(Struct, frozen=True):
    run_id: str
    signal_id: str
    payload: Any
    consumed_by: str | None


class Letter(Struct, frozen=True):
    subject: str
    reason: str
    at: int


class Record(Struct, frozen=True):
    """Everything, in one snapshot."""

    runs: dict[str, StoredRun]
    histories: dict[str, list[Event]]
    """By run, in order."""
    approvals: list[StoredApproval]
    signals: list[StoredSignal]
    letters: list[Letter]
    outbox: int
    """Turns that the broker does not have."""

    def events(self) -> Sequence[Event]:
        """All of all runs, by time."""
        return sorted((event for history in self.histories.values() for event in history), key=lambda event: event.at)


def read(database: Path) -> Record:
    """Read a database that a scheduler may be serving."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None, timeout=10)
    try:
        connection.execute("BEGIN")
        histories: dict[str, list[Event]] = {}
        for run_id, seq, name, at, step_id, actor, data, value in connection.execute(EVENTS):
            event = Event(run_id, seq, name, at, step_id, actor, _json(data), value)
            histories.setdefault(run_id, []).append(event)
        return Record(
            runs={row[0]: _run(row) for row in connection.execute(RUNS)},
            histories=histories,
            approvals=[_approval(row) for row in connection.execute(APPROVALS)],
            signals=[StoredSignal(row[0], row[1], _json(row[2]), row[3]) for row in connection.execute(SIGNALS)],
            letters=[Letter(*row) for row in connection.execute(LETTERS)],
            outbox=connection.execute("SELECT count(*) FROM outbox").fetchone()[0],
        )
    finally:
        connection.close()


def _run(row: tuple[Any, ...]) -> StoredRun:
    run_id, workflow_id, status, labels, context = row
    return StoredRun(run_id, workflow_id, status, _json(labels).get(LABEL), _json(context) if context else {})


def _approval(row: tuple[Any, ...]) -> StoredApproval:
    identity, run_id, status, approvers, quorum, decisions, deadline_at = row
    return StoredApproval(identity, run_id, status, _json(approvers), quorum, _json(decisions), deadline_at)


def _json(text: str) -> Any:
    return msgspec.json.decode(text)
