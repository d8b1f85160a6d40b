"""The scheduler's SQLite schema in memory: what is committed outlives every crash, nothing else does.

Units are run and committed by the real writer's code, only that its thread is the world's clock: a commit takes a few
milliseconds, in which other turns are decided, and the process may die before it, after it and while others wait.
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from station.core.definition import Definition, to_canonical
from station.core.evolve import fold
from station.core.run import Run
from station.scheduler.engine import rows
from station.scheduler.engine.chain import GENESIS, link
from station.scheduler.engine.loading import EVENT_COLUMNS, event_of
from station.scheduler.store.database import migrate
from station.scheduler.store.reader import Reader
from station.scheduler.store.writer import MAX_GROUP, Unit, Writer, _Job, _resolve
from tests.simulation.process import Process
from tests.simulation.world import World
from tests.support.run_invariants import Rows, collect, snapshot

REVISION = 1


@functools.cache
def _empty() -> bytes:
    """A database with the schema and nothing in it."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    return connection.serialize()


class SimulatedWriter(Writer):
    """The writer of one life of the scheduler."""

    def __init__(self, connection: sqlite3.Connection, world: World, process: Process) -> None:
        self._connection, self._world, self._process = connection, world, process
        self._queue: list[_Job] = []
        self._writing = False

    def submit(self, unit: Unit) -> asyncio.Future[None]:
        job = _Job(unit, self._process.create_future())
        if not self._process.dead:
            self._queue.append(job)
            self._begin()
        return job.future

    def _begin(self) -> None:
        if not self._writing:
            self._writing = True
            self._world.after(self._world.random.randrange(1, 6), self._write)

    def _write(self) -> None:
        if self._process.dead:
            return
        self._writing = False
        jobs, self._queue = self._queue[:MAX_GROUP], self._queue[MAX_GROUP:]
        if self._world.chance(0.01, "crash before a commit"):
            self._process.die()
            return
        if self._world.chance(0.01, "failed commit"):
            for job in jobs:
                if job.unit.statements:  # a barrier writes nothing that could fail
                    job.outcome = sqlite3.OperationalError("disk I/O error")
        else:
            self._commit(jobs)
            if self._world.chance(0.01, "crash after a commit"):
                self._process.die()
                return
        _resolve(jobs)
        if self._queue:
            self._begin()


class SimulatedReader(Reader):
    """The reader of one life of the scheduler; a query takes a turn of the loop, and now and then a while."""

    def __init__(self, connection: sqlite3.Connection, world: World) -> None:
        self._connection, self._world = connection, world

    async def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        await asyncio.sleep(0.03 if self._world.chance(0.05, "slow query") else 0)
        return self._connection.execute(sql, parameters).fetchall()

    async def keyed(self, sql: str, parameters: Sequence[Any]) -> tuple[Any, ...] | None:
        return self._connection.execute(sql, parameters).fetchone()


class Store:
    """The database of one simulation."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=256)
        self.connection.deserialize(_empty())
        self.connection.execute("PRAGMA foreign_keys=ON")

    def close(self) -> None:
        self.connection.close()

    def add_definition(self, definition: Definition) -> None:
        """Store a workflow that runs can be started of."""
        self.connection.execute(
            "INSERT INTO workflows VALUES (?, 'active', 'api', NULL, NULL, 'not_applicable', 1, 0, 0)", (definition.id,)
        )
        text = msgspec.json.encode(to_canonical(definition)).decode()
        self.connection.execute(
            "INSERT INTO workflow_definitions (workflow_id, revision, name, version_label, definition, digest,"
            " warnings, created_at, created_by) VALUES (?, ?, '', '', ?, '', '[]', 0, '')",
            (definition.id, REVISION, text),
        )

    # What a simulation looks at

    def all(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, parameters).fetchall()

    def events(self, run_id: str) -> list[tuple[Any, ...]]:
        return self.all(f"SELECT {EVENT_COLUMNS} FROM workflow_run_events WHERE run_id = ? ORDER BY seq", run_id)

    def check_chain(self, run_id: str) -> None:
        """Each event is sealed with the hash of the one before."""
        previous = GENESIS
        for row in self.events(run_id):
            _, seq, name, at, step_id, actor, data, stored = row
            assert stored == link(previous, run_id, seq, name, at, step_id, actor, data.encode())
            previous = stored

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
        (stored,) = self.all(f"SELECT {', '.join(rows.RUN_COLUMNS)} FROM workflow_runs WHERE run_id = ?", run_id)
        assert stored == rows.run_row(folded)
        (document,) = self.all("SELECT * FROM workflow_run_documents WHERE run_id = ?", run_id)
        assert document == rows.document_row(folded)
        return folded

    def _stored(self, table: str, columns: tuple[str, ...], run_id: str) -> list[dict[str, Any]]:
        found = self.all(f"SELECT {', '.join(columns)} FROM {table} WHERE run_id = ?", run_id)
        return sorted((dict(zip(columns, row, strict=True)) for row in found), key=repr)


def _sorted(found: Rows) -> list[dict[str, Any]]:
    plain = ({name: str(v) if isinstance(v, str) else v for name, v in row.items()} for row in found.values())
    return sorted(plain, key=repr)
