"""The scheduler's SQLite schema in memory: what is committed outlives every crash, nothing else does."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from station.core.definition import Definition, to_canonical
from station.core.evolve import fold
from station.core.run import Run
from station.scheduler.engine import rows
from station.scheduler.engine.loading import EVENT_COLUMNS, event_of
from station.scheduler.store.database import migrate
from station.scheduler.store.writer import Conflict, Unit
from tests.support.run_invariants import Rows, collect, snapshot

REVISION = 1


class Crash(Exception):
    """The process died before the commit."""


class Store:
    """Reader and writer of one scheduler at a time, for the time of one simulation."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self.crash_before_commit = False
        migrate(self._connection)

    def close(self) -> None:
        self._connection.close()

    def add_definition(self, definition: Definition) -> None:
        """Store a workflow that runs can be started of."""
        self._connection.execute(
            "INSERT INTO workflows VALUES (?, 'active', 'api', NULL, NULL, 'not_applicable', 1, 0, 0)", (definition.id,)
        )
        text = msgspec.json.encode(to_canonical(definition)).decode()
        self._connection.execute(
            "INSERT INTO workflow_definitions (workflow_id, revision, name, version_label, definition, digest,"
            " warnings, created_at, created_by) VALUES (?, ?, '', '', ?, '', '[]', 0, '')",
            (definition.id, REVISION, text),
        )

    # As the engine knows its writer and its reader

    def submit(self, unit: Unit) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        if self.crash_before_commit:
            self.crash_before_commit = False
            future.set_exception(Crash())
            return future
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            unit.run(self._connection)
        except Conflict as conflict:
            self._connection.execute("ROLLBACK")
            future.set_exception(conflict)
        else:
            self._connection.execute("COMMIT")
            future.set_result(None)
        return future

    async def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, parameters).fetchall()

    async def keyed(self, sql: str, parameters: Sequence[Any]) -> tuple[Any, ...] | None:
        return await self.row(sql, parameters)

    async def row(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        return self._connection.execute(sql, parameters).fetchone()

    # What a simulation looks at

    def outbox(self) -> list[tuple[Any, ...]]:
        return self._connection.execute("SELECT id FROM outbox").fetchall()

    def events(self, run_id: str) -> list[tuple[Any, ...]]:
        sql = f"SELECT {EVENT_COLUMNS} FROM workflow_run_events WHERE run_id = ? ORDER BY seq"
        return self._connection.execute(sql, (run_id,)).fetchall()

    def check(self, run_id: str, live: Run | None = None) -> Run:
        """Compare all rows of a run, and the run in memory, with the fold of its stored events; give the fold."""
        folded = fold(map(event_of, self.events(run_id)))
        assert live is None or snapshot(live) == snapshot(folded)
        steps: Rows = {}
        approvals: Rows = {}
        signals: Rows = {}
        collect(folded, steps, approvals, signals)
        assert self._stored("workflow_run_steps", rows.STEP_COLUMNS, run_id) == _sorted(steps)
        assert self._stored("workflow_approvals", rows.APPROVAL_COLUMNS, run_id) == _sorted(approvals)
        assert self._stored("workflow_signals", rows.SIGNAL_COLUMNS, run_id) == _sorted(signals)
        columns = ", ".join(rows.RUN_COLUMNS)
        stored = self._connection.execute(f"SELECT {columns} FROM workflow_runs WHERE run_id = ?", (run_id,)).fetchone()
        assert stored == rows.run_row(folded)
        document = self._connection.execute("SELECT * FROM workflow_run_documents WHERE run_id = ?", (run_id,))
        assert document.fetchone() == rows.document_row(folded)
        return folded

    def _stored(self, table: str, columns: tuple[str, ...], run_id: str) -> list[dict[str, Any]]:
        found = self._connection.execute(f"SELECT {', '.join(columns)} FROM {table} WHERE run_id = ?", (run_id,))
        return sorted((dict(zip(columns, row, strict=True)) for row in found), key=repr)


def _sorted(found: Rows) -> list[dict[str, Any]]:
    plain = ({name: str(v) if isinstance(v, str) else v for name, v in row.items()} for row in found.values())
    return sorted(plain, key=repr)
