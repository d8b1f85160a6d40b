"""Copies of the database: of one moment while it is written, never over another file; and putting one in its place."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from station.scheduler.backup import backup
from station.scheduler.doctor import check
from station.scheduler.restore import restore
from station.scheduler.store.database import Lock, StoreError
from tests.support.scheduler_house import House, agent, house, waiting


@pytest.fixture
async def home(tmp_path: Path, still_url: str) -> AsyncGenerator[House]:
    async with house(tmp_path / "data", still_url, background=False) as opened:
        await opened.announce()
        await opened.create(agent("a", "w"), waiting("w"))
        await opened.start(run_id="r")
        yield opened


@pytest.fixture(autouse=True)
def _data(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()


def runs(database: Path) -> dict[str, str]:
    connection = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)
    try:
        return dict(connection.execute("SELECT run_id, status FROM workflow_runs"))
    finally:
        connection.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_copy_of_a_database_that_is_being_written_is_sound(home: House, tmp_path: Path) -> None:
    """Every copy is of one moment: the doctor folds each run of it and finds the rows that the events give."""
    stop = asyncio.Event()

    async def write() -> None:
        while not stop.is_set():
            await asyncio.gather(*[home.start() for _ in range(8)])

    writing = asyncio.create_task(write())
    seen: list[int] = []
    for number in range(4):
        report = await asyncio.to_thread(backup, home.database, tmp_path / f"copy-{number}.db")
        found = check(Path(report.path), limit=1_000_000)
        assert not found.findings
        assert (found.checked_runs, found.checked_events) == (report.runs, report.events)
        seen.append(report.runs)
        before = len(runs(home.database))
        while len(runs(home.database)) == before:  # noqa: ASYNC110 - it is the file that is asked
            await asyncio.sleep(0)
    stop.set()
    await writing
    assert seen == sorted(seen)
    assert len(set(seen)) > 1, "nothing was written between the copies"
    assert names(tmp_path) == [*(f"copy-{n}.db" for n in range(4)), "data"]


async def test_a_copy_is_one_file_with_the_rights_of_the_database(home: House, tmp_path: Path) -> None:
    home.database.chmod(0o600)
    report = backup(home.database, tmp_path / "new" / "copy.db")
    copy = tmp_path / "new" / "copy.db"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert report.bytes == copy.stat().st_size
    assert [path.name for path in copy.parent.iterdir()] == ["copy.db"]


async def test_nothing_is_overwritten_without_force(home: House, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("precious")
    with pytest.raises(StoreError, match="exists"):
        backup(home.database, copy)
    assert copy.read_text() == "precious"
    backup(home.database, copy, force=True)
    assert runs(copy) == {"r": "RUNNING"}
    with pytest.raises(StoreError, match="the database itself"):
        backup(home.database, home.database, force=True)
    with pytest.raises(StoreError, match="exists"):
        backup(home.database, tmp_path, force=True)


def test_what_is_not_there_is_not_copied(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no database"):
        backup(tmp_path / "none.db", tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


async def test_a_copy_takes_the_place_of_the_database_which_is_kept(tmp_path: Path, still_url: str) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy.db"
    async with house(data, still_url, background=False) as home:
        await home.announce()
        await home.create(agent("a"))
        await home.start(run_id="before")
        backup(home.database, copy)
        await home.work("before")
        await home.start(run_id="after")
    report = restore(data / "station.db", copy)
    assert (report.runs, report.database) == (1, str(data / "station.db"))
    assert runs(data / "station.db") == {"before": "RUNNING"}
    assert report.replaced is not None
    assert runs(Path(report.replaced)) == {"before": "COMPLETED", "after": "RUNNING"}
    assert not check(Path(report.replaced)).findings
    async with house(data, still_url, background=False) as home:
        assert home.status("before") == "RUNNING"
        await home.work("before")
        assert home.status("before") == "COMPLETED"
    assert runs(copy) == {"before": "RUNNING"}, "the copy is as it was"


async def test_what_was_only_in_the_log_of_a_killed_scheduler_is_kept(home: House, tmp_path: Path) -> None:
    """The files of a scheduler that was killed, as they are on disk: the log is not folded, the lock is free."""
    dead = tmp_path / "dead"
    dead.mkdir()
    for suffix in ("", "-wal", "-shm"):
        shutil.copyfile(f"{home.database}{suffix}", dead / f"station.db{suffix}")
    copy = tmp_path / "copy.db"
    backup(home.database, copy)
    report = restore(dead / "station.db", copy)
    assert runs(Path(str(report.replaced))) == {"r": "RUNNING"}
    assert not {"station.db-wal", "station.db-shm"} & set(names(dead))
    assert runs(dead / "station.db") == {"r": "RUNNING"}


async def test_a_damaged_database_is_kept_with_its_log(home: House, tmp_path: Path) -> None:
    copy, data = tmp_path / "copy.db", tmp_path / "damaged"
    backup(home.database, copy)
    data.mkdir()
    (data / "station.db").write_bytes(b"not a database at all" * 1000)
    (data / "station.db-wal").write_bytes(b"log")
    report = restore(data / "station.db", copy)
    kept = data / str(report.replaced)
    assert kept.with_name(f"{kept.name}-wal").read_bytes() == b"log"
    assert kept.read_bytes().startswith(b"not a database")
    assert not (data / "station.db-wal").exists()
    assert runs(data / "station.db") == {"r": "RUNNING"}


async def test_a_copy_is_restored_where_there_is_nothing(home: House, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    backup(home.database, copy)
    report = restore(tmp_path / "new" / "station.db", copy)
    assert report.replaced is None
    assert runs(tmp_path / "new" / "station.db") == {"r": "RUNNING"}


async def test_nothing_is_restored_under_a_scheduler(home: House, tmp_path: Path) -> None:
    copy, lock = tmp_path / "copy.db", Lock(home.database)
    backup(home.database, copy)
    lock.acquire()
    try:
        with pytest.raises(StoreError, match=f"process {os.getpid()}"):
            restore(home.database, copy)
    finally:
        lock.release()
    assert runs(home.database) == {"r": "RUNNING"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text", "cannot be copied"),
        ("other", "no database of Station"),
        ("newer", "newer Station"),
        ("damaged", "damaged|malformed"),
        ("none", "no file"),
        ("itself", "the database itself"),
    ],
)
async def test_what_is_no_sound_copy_is_refused_and_nothing_changes(
    home: House, tmp_path: Path, content: str, said: str
) -> None:
    database, copy = tmp_path / "other" / "station.db", tmp_path / "copy.db"
    database.parent.mkdir()
    backup(home.database, database)
    match content:
        case "text":
            copy.write_text("no database" * 500)
        case "other":
            sqlite3.connect(copy).execute("CREATE TABLE t (a)")
        case "newer":
            backup(database, copy)
            sqlite3.connect(copy).execute("PRAGMA user_version=999")
        case "damaged":
            backup(database, copy)
            pages = bytearray(copy.read_bytes())
            pages[8192:40960] = b"\xff" * (40960 - 8192)
            copy.write_bytes(pages)
        case "itself":
            copy.symlink_to(database)
        case _:
            pass
    before = database.read_bytes()
    with pytest.raises(StoreError, match=said):
        restore(database, copy)
    assert database.read_bytes() == before
    assert names(database.parent) in (
        ["station.db"],
        ["station.db", "station.db.lock"],
    )
