"""A database as it is after years: runs that have ended, each with rows, events and a chain of hashes of its own.

They are repetitions of runs that the system has really done: every row is taken over under new ids, and the chain is
sealed anew with the scheduler's own code, so that the doctor finds nothing in them. Only while nothing runs.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from station.runtime.ids import new_id
from station.scheduler.engine.chain import GENESIS, link
from station.scheduler.store.database import open_writer

TABLES = ("workflow_runs", "workflow_run_documents", "workflow_run_steps", "workflow_approvals", "workflow_signals")
_TOGETHER = 500
_EVENTS = "SELECT seq, type, at, step_id, actor, data FROM workflow_run_events WHERE run_id = ? ORDER BY seq"
_INSERT_EVENT = "INSERT INTO workflow_run_events VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

Row = tuple[Any, ...]


def multiply(database: Path, run_ids: Sequence[str], count: int) -> None:
    """Add ``count`` runs, repetitions of these in turn. The runs must have ended and have used no deadline."""
    connection = open_writer(database)
    try:
        connection.execute("PRAGMA synchronous=OFF")
        originals = [_Original(connection, run_id) for run_id in run_ids]
        for first in range(0, count, _TOGETHER):
            connection.execute("BEGIN")
            for number in range(first, min(first + _TOGETHER, count)):
                originals[number % len(originals)].repeat(connection)
            connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.close()


class _Original:
    """One run with everything that is stored of it."""

    def __init__(self, connection: sqlite3.Connection, run_id: str) -> None:
        self._run_id = run_id
        self._rows: dict[str, list[Row]] = {}
        self._columns: dict[str, list[str]] = {}
        for table in TABLES:
            found = connection.execute(f"SELECT * FROM {table} WHERE run_id = ?", (run_id,))
            self._columns[table] = [column[0] for column in found.description]
            self._rows[table] = found.fetchall()
        self._approvals = [row[0] for row in self._rows["workflow_approvals"]]
        self._events: list[Row] = connection.execute(_EVENTS, (run_id,)).fetchall()

    def repeat(self, connection: sqlite3.Connection) -> None:
        """Write it once more, under new ids."""
        run_id = new_id("run")
        renamed = {self._run_id: run_id} | {approval: new_id("apr") for approval in self._approvals}
        events = list(self._sealed(run_id, renamed))
        for table in TABLES:
            marks = ", ".join("?" for _ in self._columns[table])
            rows = [self._renamed(row, renamed) for row in self._rows[table]]
            if table == "workflow_runs":
                place = self._columns[table].index("last_hash")
                rows = [(*row[:place], events[-1][7], *row[place + 1 :]) for row in rows]
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        connection.executemany(_INSERT_EVENT, events)

    def _sealed(self, run_id: str, renamed: dict[str, str]) -> Iterator[Row]:
        previous = GENESIS
        for seq, name, at, step_id, actor, data in self._events:
            text: str = self._renamed((data,), renamed)[0]
            previous = link(previous, run_id, seq, name, at, step_id, actor, text.encode())
            yield run_id, seq, name, at, step_id, actor, text, previous

    def _renamed(self, row: Row, renamed: dict[str, str]) -> Row:
        found: list[Any] = []
        for value in row:
            changed = value
            if isinstance(value, str):
                for old, new in renamed.items():
                    changed = changed.replace(old, new)
            found.append(changed)
        return tuple(found)
