"""What only the scheduler's database tells; read while the scheduler works, never written."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUSY_SECONDS = 5.0


@contextmanager
def reading(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=BUSY_SECONDS)
    try:
        yield connection
    finally:
        connection.close()


def size(database: Path) -> int:
    """Bytes of all pages, those that are still in the write-ahead log as well."""
    with reading(database) as connection:
        return _number(connection, "PRAGMA page_count") * _number(connection, "PRAGMA page_size")


def completed_runs(connection: sqlite3.Connection) -> int:
    """Runs that have ended as they should."""
    return _number(connection, "SELECT count(*) FROM workflow_runs WHERE status = 'COMPLETED'")


def succeeded_steps(connection: sqlite3.Connection) -> int:
    """Steps of agents with a recorded result."""
    return _number(
        connection,
        "SELECT count(*) FROM workflow_run_steps WHERE action = 'agent.run' AND status = 'SUCCEEDED'",
    )


def repeated_steps(connection: sqlite3.Connection) -> int:
    """How often the same attempt was handed to a runner again, after it had been claimed once.

    Every claim is recorded as `step_started` before the work begins, so no execution is missed; one that was claimed
    but had not begun when its runner died is counted too.
    """
    return _number(
        connection,
        """
        SELECT coalesce(sum(claims - 1), 0) FROM (
            SELECT count(*) AS claims FROM workflow_run_events
            WHERE type = 'step_started' AND data ->> 'runner' IS NOT NULL
            GROUP BY run_id, step_id, data ->> 'attempt')
        """,
    )


def completion_times(connection: sqlite3.Connection, run_id: str) -> list[int]:
    """When the agents' steps of a run succeeded: milliseconds, in order."""
    rows = connection.execute(
        """
        SELECT completed_at FROM workflow_run_steps
        WHERE run_id = ? AND action = 'agent.run' AND status = 'SUCCEEDED' ORDER BY completed_at
        """,
        (run_id,),
    )
    return [int(row[0]) for row in rows]


def entered_states(connection: sqlite3.Connection, run_id: str) -> int:
    """States that a run has entered."""
    return _number(
        connection, "SELECT count(*) FROM workflow_run_events WHERE run_id = ? AND type = 'state_entered'", run_id
    )


def _number(connection: sqlite3.Connection, query: str, *values: str) -> int:
    return int(connection.execute(query, values).fetchone()[0])
