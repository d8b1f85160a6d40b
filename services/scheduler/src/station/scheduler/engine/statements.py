"""The SQL of a turn. One place, because these statements are the hot path and belong together."""

from __future__ import annotations

from station.scheduler.engine import rows


def _insert(table: str, columns: tuple[str, ...]) -> str:
    marks = ", ".join("?" for _ in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - our own names


INSERT_RUN = _insert("workflow_runs", (*rows.RUN_COLUMNS, "last_hash"))
INSERT_DOCUMENT = _insert("workflow_run_documents", rows.DOCUMENT_COLUMNS)
INSERT_STEP = _insert("workflow_run_steps", rows.STEP_COLUMNS)
INSERT_EVENT = _insert("workflow_run_events", ("run_id", "seq", "type", "at", "step_id", "actor", "data", "hash"))
INSERT_OUTBOX = _insert("outbox", ("id", "run_id", "first_seq", "last_seq", "messages", "created_at"))
INSERT_KEY = _insert("idempotency_keys", ("principal", "key", "fingerprint", "answer", "created_at"))
INSERT_DEAD_LETTER = _insert("dead_letters", ("subject", "body", "reason", "at"))

MOVE_RUN = """
UPDATE workflow_runs SET status = ?, seq = ?, last_hash = ?, started_at = ?, usage = ?
WHERE run_id = ? AND last_hash = ?
"""
END_RUN = """
UPDATE workflow_runs SET status = ?, seq = ?, last_hash = ?, started_at = ?, usage = ?, error = ?, completed_at = ?
WHERE run_id = ? AND last_hash = ?
"""
END_DOCUMENT = "UPDATE workflow_run_documents SET context = ?, output = ? WHERE run_id = ?"
UPDATE_STEP = """
UPDATE workflow_run_steps SET status = ?, output = ?, error = ?, agent_run_id = ?, token = ?, runner = ?,
    signal = ?, started_at = ?, completed_at = ?, wake_at = ?, usage = ?, agent = ?
WHERE run_id = ? AND entered_seq = ? AND attempt = ?
"""
UPSERT_APPROVAL = (
    _insert("workflow_approvals", rows.APPROVAL_COLUMNS)
    + """
ON CONFLICT (approval_id) DO UPDATE SET status = excluded.status, decisions = excluded.decisions,
    decided_at = excluded.decided_at
"""
)
UPSERT_SIGNAL = (
    _insert("workflow_signals", rows.SIGNAL_COLUMNS)
    + """
ON CONFLICT (run_id, received_seq) DO UPDATE SET consumed_by = excluded.consumed_by
"""
)
DELETE_OUTBOX = "DELETE FROM outbox WHERE id IN (SELECT value FROM json_each(?))"
