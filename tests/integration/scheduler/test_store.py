"""The SQLite file: its schema, the lock, the one writer, and readers that cannot write."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from station.scheduler.store.database import Lock, StoreError, migrate, migrations, open_reader, open_writer, path_of
from station.scheduler.store.reader import Reader
from station.scheduler.store.writer import Closed, Conflict, Unit, Writer

SCHEMA = Path(__file__).parents[2] / "data" / "scheduler" / "schema.sql"
EVENT = "INSERT INTO workflow_run_events VALUES ('r', ?, 'run_started', 0, NULL, 'user:a', '{}', 'h')"


def schema_of(connection: sqlite3.Connection) -> str:
    rows = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type DESC, name").fetchall()
    return "".join(f"{sql};\n\n" for (sql,) in rows)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "a place?with#odd%20signs" / "station.db"


@pytest.fixture
def connection(database: Path) -> sqlite3.Connection:
    return open_writer(database)


@pytest.fixture
async def writer(connection: sqlite3.Connection) -> AsyncGenerator[Writer]:
    made = Writer(connection, lambda _: None)
    yield made
    await made.close()


def test_nobody_else_reads_the_database(database: Path) -> None:
    before = os.umask(0o022)
    try:
        with contextlib.closing(open_writer(database)):
            modes = {path.name: oct(path.stat().st_mode & 0o777) for path in database.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("station.db", "station.db-shm", "station.db-wal"), oct(0o600))
    assert database.parent.stat().st_mode & 0o777 == 0o700


def with_a_run(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO workflows VALUES ('w', 'active', 'api', NULL, NULL, 'not_applicable', 1, 0, 0)")
    connection.execute("INSERT INTO workflow_definitions VALUES ('w', 1, 'w', NULL, '1', '{}', 'd', '[]', 0, 'user:a')")
    connection.execute(
        "INSERT INTO workflow_runs VALUES"
        " ('r', 'w', 1, 'default', 'RUNNING', 1, 'h', NULL, '{}', 'user:a', 0, 0, NULL, NULL, NULL)"
    )


def unit(sql: str, *parameters: Any, guarded: bool = False) -> Unit:
    made = Unit()
    (made.add_guarded if guarded else made.add)(sql, parameters)
    return made


def letter(reason: str) -> Unit:
    return unit("INSERT INTO dead_letters (subject, body, reason, at) VALUES ('s', x'', ?, 0)", reason)


def test_the_migrations_give_the_schema_that_is_written_down(connection):
    """`tests/data/scheduler/schema.sql` is what people read: change it together with a migration."""
    assert schema_of(connection) == SCHEMA.read_text(encoding="utf-8")


def test_a_migration_that_was_applied_is_not_applied_again(connection):
    before = schema_of(connection)
    assert migrate(connection) == migrations()[-1][0]
    assert schema_of(connection) == before


def test_a_database_of_a_newer_program_is_refused(connection, database):
    connection.execute("PRAGMA user_version=9999")
    connection.close()
    with pytest.raises(
        StoreError, match="schema version 9999, this program knows 1: it was written by a newer Station"
    ):
        open_writer(database)


def test_what_is_no_database_is_refused(database):
    database.parent.mkdir()
    database.write_bytes(b"no database at all, but long enough to look like one" * 100)
    with pytest.raises(StoreError, match="cannot be opened: file is not a database"):
        open_writer(database)


@pytest.mark.parametrize("url", ["station.db", "sqlite:///", "postgres://x/y"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(StoreError, match=r"must be sqlite:///path/to/station\.db"):
        path_of(url)


def test_an_address_names_a_file():
    assert path_of("sqlite:///a/b.db") == Path("a/b.db")
    assert path_of("sqlite:////a/b.db") == Path("/a/b.db")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE workflow_run_events SET actor = 'user:eve'",
        "UPDATE workflow_run_events SET hash = hash",
        "DELETE FROM workflow_run_events",
        "DELETE FROM workflow_run_events WHERE seq = 1",
        "REPLACE INTO workflow_run_events VALUES ('r', 1, 'run_started', 0, NULL, 'user:eve', '{}', 'h')",
    ],
)
def test_events_are_only_ever_added(connection, statement):
    with_a_run(connection)
    connection.execute(EVENT, (1,))
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    assert connection.execute("SELECT seq, actor FROM workflow_run_events").fetchall() == [(1, "user:a")]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE workflow_runs SET status = 'DONE'",
        "UPDATE workflow_runs SET status = 'COMPLETED'",
        "UPDATE workflow_runs SET completed_at = 1",
        "UPDATE workflow_runs SET revision = 2",
        "UPDATE workflow_runs SET seq = 'many'",
        "UPDATE workflows SET status = 'gone'",
        "DELETE FROM workflow_runs",
        "INSERT INTO workflow_run_events VALUES ('other', 1, 'run_started', 0, NULL, 'user:a', '{}', 'h')",
        "INSERT INTO workflow_run_events VALUES ('r', 0, 'run_started', 0, NULL, 'user:a', '{}', 'h')",
        "INSERT INTO workflow_signals VALUES ('r', 1, NULL, 'go', '1', 0, NULL)",
    ],
)
def test_rows_that_make_no_sense_are_refused(connection, statement):
    with_a_run(connection)
    connection.execute(EVENT, (1,))
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)


def test_a_second_scheduler_is_told_who_has_the_lock(database):
    database.parent.mkdir()
    program = (
        "import sys, pathlib; from station.scheduler.store.database import Lock;"
        "lock = Lock(pathlib.Path(sys.argv[1])); lock.acquire(); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        lock = Lock(database)
        with pytest.raises(StoreError, match=rf"process {other.pid}\) writes this database"):
            lock.acquire()
        other.kill()
        other.wait()
        lock.acquire()  # the kernel has let go of it
    assert lock.path.read_text(encoding="ascii") == str(os.getpid())
    lock.release()


def test_a_lock_that_cannot_be_made_is_a_persons_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"The lock file .* cannot be opened: .*Is the directory writable"):
        Lock(tmp_path / "file" / "station.db").acquire()


async def test_units_that_wait_go_into_one_transaction(connection, database):
    commits: list[str] = []
    writer = Writer(connection, lambda _: None)
    gate = asyncio.get_running_loop().create_future()
    busy = unit("SELECT 1")
    connection.set_trace_callback(lambda sql: commits.append(sql) if sql in {"COMMIT", "BEGIN IMMEDIATE"} else None)
    jobs = [writer.submit(busy), *(writer.submit(letter(str(number))) for number in range(200))]
    await asyncio.gather(*jobs)
    gate.cancel()
    assert commits.count("COMMIT") < 50, "200 units need a few transactions, not 200"
    assert open_reader(database).execute("SELECT count(*) FROM dead_letters").fetchone() == (200,)
    assert [row[0] for row in connection.execute("SELECT reason FROM dead_letters ORDER BY id")] == [
        str(number) for number in range(200)
    ]
    await writer.close()


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (unit("UPDATE workflows SET revision = 2 WHERE workflow_id = 'none'", guarded=True), Conflict),
        (unit("INSERT INTO workflow_files VALUES (NULL, 'w', 'd')"), sqlite3.IntegrityError),
        (unit("INSERT INTO workflow_files VALUES ('a', ?, 'd')", 2**70), OverflowError),
        (unit("INSERT INTO workflow_files VALUES ('a', ?, 'd')", "\ud800"), UnicodeEncodeError),
        (unit("INSERT INTO workflow_files VALUES ('a', ?, 'd')", object()), sqlite3.Error),
        (unit("THIS IS NO SQL"), sqlite3.OperationalError),
    ],
    ids=["conflict", "integrity", "overflow", "surrogate", "type", "syntax"],
)
async def test_a_unit_that_fails_takes_no_other_along(writer, connection, bad, error):
    half = Unit()
    half.add("INSERT INTO dead_letters (subject, body, reason, at) VALUES ('s', x'', 'half', 0)", ())
    half.statements += bad.statements
    half.guards = {index + 1 for index in bad.guards}
    jobs = [writer.submit(letter("one")), writer.submit(half), writer.submit(letter("two"))]
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    assert outcomes[0] is None
    assert isinstance(outcomes[1], error)
    assert outcomes[2] is None
    await writer.submit(letter("three"))
    found = [row[0] for row in connection.execute("SELECT reason FROM dead_letters ORDER BY id")]
    assert found == ["one", "two", "three"]


async def test_a_full_disk_fails_what_does_not_fit_and_nothing_else(writer, connection):
    await writer.submit(letter("before"))
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    await writer.submit(unit(f"PRAGMA max_page_count={pages}"))
    jobs = [writer.submit(letter("x" * 1_000_000)), writer.submit(letter("small"))]
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    assert isinstance(outcomes[0], sqlite3.OperationalError)
    assert "full" in str(outcomes[0])
    assert outcomes[1] is None
    connection.execute("PRAGMA max_page_count=1000000")
    await writer.submit(letter("after"))
    found = [row[0] for row in connection.execute("SELECT reason FROM dead_letters ORDER BY id")]
    assert found == ["before", "small", "after"]


async def test_a_writer_that_dies_ends_the_process_and_fails_whoever_waits(connection):
    told = asyncio.get_running_loop().create_future()
    writer = Writer(connection, told.set_result)

    class Bomb(Unit):
        def run(self, connection: sqlite3.Connection) -> None:
            raise SystemExit("out of everything")

    jobs = [writer.submit(letter("one")), writer.submit(Bomb()), writer.submit(letter("two"))]
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    assert "the writer thread died: SystemExit" in await told
    assert isinstance(outcomes[1], Closed)
    with pytest.raises(Closed):
        await writer.submit(letter("three"))
    await writer.close()


async def test_a_closed_writer_has_written_what_was_queued_and_takes_no_more(connection, database):
    writer = Writer(connection, lambda _: None)
    jobs = [writer.submit(letter(str(number))) for number in range(100)]
    await writer.close()
    await asyncio.gather(*jobs)
    with pytest.raises(Closed):
        await writer.submit(letter("late"))
    assert open_reader(database).execute("SELECT count(*) FROM dead_letters").fetchone() == (100,)


async def test_a_reader_sees_what_is_committed_and_cannot_write(writer, database):
    reader = await Reader.open(database)
    try:
        await writer.submit(letter("one"))
        assert await reader.rows("SELECT reason FROM dead_letters") == [("one",)]
        for statement in ("DELETE FROM dead_letters", "DROP TABLE dead_letters", "PRAGMA user_version=7"):
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                await reader.rows(statement)
    finally:
        await reader.close()


async def test_readers_wait_for_each_other_and_not_for_the_writer(writer, database):
    reader = await Reader.open(database, size=2)
    try:
        await writer.submit(letter("one"))
        answers = await asyncio.gather(*(reader.row("SELECT count(*) FROM dead_letters") for _ in range(50)))
        assert answers == [(1,)] * 50
    finally:
        await reader.close()
