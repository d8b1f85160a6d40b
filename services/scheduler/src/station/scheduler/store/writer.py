"""The one thread that writes: whole units of work, up to 64 of them in one transaction.

Only after the commit is it told to who waits. A unit that fails takes no other one with it.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, TypeAlias

from station.runtime import metrics
from station.runtime.failpoints import hit
from station.runtime.logging import get_logger

log = get_logger("writer")

MAX_GROUP = 64
COMMITS = metrics.histogram("store_commit_seconds", "Time of one group commit.")
GROUP = metrics.histogram("store_commit_units", "Units of work in one group commit.", limits=(1, 2, 4, 8, 16, 32, 64))

Statement: TypeAlias = tuple[str, Sequence[Any]]


class Closed(Exception):
    """The writer takes nothing any more: the process is ending."""


class Conflict(Exception):
    """A guarded statement met another state of the store than the one it was made for."""


class Unit:
    """Statements that stand or fall together. They must be safe to run again from the start."""

    __slots__ = ("guards", "statements")

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.guards: set[int] = set()

    def add(self, sql: str, parameters: Sequence[Any]) -> None:
        """Add a statement."""
        self.statements.append((sql, parameters))

    def add_guarded(self, sql: str, parameters: Sequence[Any]) -> None:
        """Add a statement that must change exactly one row, or the unit fails with Conflict."""
        self.guards.add(len(self.statements))
        self.statements.append((sql, parameters))

    def run(self, connection: sqlite3.Connection) -> None:
        """Execute every statement."""
        execute, guards = connection.execute, self.guards
        for index, (sql, parameters) in enumerate(self.statements):
            changed = execute(sql, parameters).rowcount
            if changed != 1 and index in guards:
                message = f"{changed} rows changed by: {sql.strip().splitlines()[0]}"
                raise Conflict(message)


class _Job:
    __slots__ = ("future", "outcome", "unit")

    def __init__(self, unit: Unit, future: "asyncio.Future[None]") -> None:
        self.unit = unit
        self.future = future
        self.outcome: Exception | None = None


class Writer:
    """Owns the writing connection."""

    def __init__(self, connection: sqlite3.Connection, on_broken: Callable[[str], None]) -> None:
        self._connection = connection
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._on_broken = on_broken
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    def submit(self, unit: Unit) -> "asyncio.Future[None]":
        """Queue a unit; the future is done when it is on disk, or carries why it is not."""
        future: asyncio.Future[None] = self._loop.create_future()
        if self._closed:
            future.set_exception(Closed("the writer is closed"))
        else:
            self._jobs.put(_Job(unit, future))
        return future

    async def barrier(self) -> None:
        """Wait until everything submitted so far is on disk or has failed."""
        await self.submit(Unit())

    async def close(self) -> None:
        """Write what is queued, then close the connection."""
        self._closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        jobs: list[_Job] = []
        try:
            running = True
            while running:
                jobs, running = self._next_group()
                if jobs:
                    self._commit(jobs)
                    self._tell(jobs)
        except BaseException as error:  # a dead writer must end the process, not hang its callers
            log.exception("writer_crashed")
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._broken, error, jobs)
        finally:
            self._connection.close()

    def _broken(self, error: BaseException, jobs: list[_Job]) -> None:
        """In the loop: nobody may wait for a thread that is gone."""
        self._closed = True
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._jobs.get_nowait()
                jobs += [] if job is None else [job]
        for job in jobs:
            job.outcome = job.outcome or Closed(f"the writer thread died: {error!r}")
        _resolve(jobs)
        self._on_broken(f"the writer thread died: {error!r}")

    def _next_group(self) -> tuple[list[_Job], bool]:
        job = self._jobs.get()
        jobs: list[_Job] = []
        while job is not None:
            jobs.append(job)
            if len(jobs) == MAX_GROUP:
                return jobs, True
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, True
        return jobs, False

    def _commit(self, jobs: list[_Job]) -> None:
        """Commit all in one transaction; if anything fails, each one in a transaction of its own."""
        started = perf_counter()
        try:
            self._transaction(jobs)
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            self._roll_back()
            if len(jobs) == 1:
                jobs[0].outcome = error
                return
            for job in jobs:
                self._commit_alone(job)
        COMMITS.observe(perf_counter() - started)
        GROUP.observe(len(jobs))

    def _commit_alone(self, job: _Job) -> None:
        try:
            self._transaction([job])
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            self._roll_back()
            job.outcome = error

    def _transaction(self, jobs: list[_Job]) -> None:
        connection = self._connection
        if not any(job.unit.statements for job in jobs):
            return
        connection.execute("BEGIN IMMEDIATE")
        for job in jobs:
            job.unit.run(connection)
        hit("scheduler.before-commit")
        connection.execute("COMMIT")
        hit("scheduler.after-commit")

    def _roll_back(self) -> None:
        """Some errors roll back by themselves. A transaction that stays open raises here: nothing could follow it."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _tell(self, jobs: list[_Job]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            self._loop.call_soon_threadsafe(_resolve, jobs)


def _resolve(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.outcome is None:
            job.future.set_result(None)
        else:
            job.future.set_exception(job.outcome)
