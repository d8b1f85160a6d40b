"""What the store keeps along with runs and approvals, so that nobody must count them, compared with a count of all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping

from station.contracts.health import Finding

_KEPT: Mapping[str, tuple[str, str]] = {
    "workflow_run_counts": (
        "SELECT workflow_id, status, runs FROM workflow_run_counts WHERE runs <> 0",
        "SELECT workflow_id, status, count(*) FROM workflow_runs GROUP BY workflow_id, status",
    ),
    "workflow_run_days": (
        "SELECT workflow_id, day, ended, completed FROM workflow_run_days",
        """
        SELECT workflow_id, completed_at / 86400000, count(*), sum(status = 'COMPLETED') FROM workflow_runs
        WHERE completed_at IS NOT NULL GROUP BY 1, 2
        """,
    ),
    "workflow_run_labels": (
        "SELECT name, value, created_at, run_id FROM workflow_run_labels",
        "SELECT l.key, l.value, r.created_at, r.run_id FROM workflow_runs r, json_each(r.labels) l",
    ),
    "workflow_approval_counts": (
        "SELECT status, approvals FROM workflow_approval_counts WHERE approvals <> 0",
        "SELECT status, count(*) FROM workflow_approvals GROUP BY status",
    ),
    "workflow_approvers": (
        "SELECT approver, status, approval_id, barred FROM workflow_approvers",
        """
        SELECT DISTINCT n.value, a.status, a.approval_id, iif(a.allow_self_approval, '', lower(a.started_by))
        FROM workflow_approvals a, json_each(iif(a.approvers = '[]', '[""]', a.approvers)) n
        """,
    ),
}
"""For each table what it holds, and what it should hold."""


def compare(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Name each table that differs, with one row that does. One statement a table: it sees one moment."""
    for table, (kept, counted) in _KEPT.items():
        sql = f"""
            WITH kept AS ({kept}), counted AS ({counted})
            SELECT 'holds', * FROM (SELECT * FROM kept EXCEPT SELECT * FROM counted)
            UNION ALL SELECT 'lacks', * FROM (SELECT * FROM counted EXCEPT SELECT * FROM kept) LIMIT 1
        """  # noqa: S608 - our own names
        for verb, *row in connection.execute(sql):
            values = ", ".join(map(repr, row))
            yield Finding(check="tallies", subject=table, detail=f"it {verb} ({values}), other than the rows say")
