"""Copies of the database: made at one moment while it is written, read through before anybody trusts them.

What is copied is written aside and renamed, so that a file under its final name is whole.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Generator
from pathlib import Path

import msgspec

from station.scheduler.store.database import StoreError, migrations, open_reader

_OURS = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('workflow_runs', 'workflow_run_events')"
_COUNTS = "SELECT (SELECT count(*) FROM workflow_runs), (SELECT count(*) FROM workflow_run_events)"


class Contents(msgspec.Struct, frozen=True):
    """What a copy holds."""

    runs: int
    events: int


@contextlib.contextmanager
def copied(source: Path, target: Path) -> Generator[tuple[Path, Contents]]:
    """Copy a database aside, beside where it is to be; inside, the copy is on disk and was read through.

    It is one file, without a log beside it. What was not renamed inside is removed at the end. Raises StoreError.
    """
    draft = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        _copy(source, draft)
        yield draft, examine(draft, source)
    except (sqlite3.Error, OSError) as error:
        message = f"{source} cannot be copied to {target}: {error}. Is it a database, and is there room?"
        raise StoreError(message) from error
    finally:
        for leftover in (draft, Path(f"{draft}-journal")):
            leftover.unlink(missing_ok=True)


def examine(copy: Path, called: Path) -> Contents:
    """Read a copy through. Raises StoreError, in words about the file it is ``called`` by."""
    with contextlib.closing(open_reader(copy)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute(_OURS).fetchone()
        if tables != 2:
            raise StoreError(f"{called} is no database of Station: it has no runs and events.")
        if version > (known := migrations()[-1][0]):
            raise StoreError(
                f"{called} has schema version {version}, this program knows {known}:"
                " a newer Station wrote it. Use that one."
            )
        damage = [line for (line,) in connection.execute("PRAGMA quick_check") if line != "ok"]
        if damage:
            raise StoreError(f"{called} is damaged: {damage[0]}. Take another copy.")
        return Contents(*connection.execute(_COUNTS).fetchone())


def sync_directory(directory: Path) -> None:
    """Have the names in a directory on disk."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _copy(source: Path, draft: Path) -> None:
    """All pages in one read transaction: the writer goes on meanwhile, and the copy is of one moment."""
    draft.touch(mode=source.stat().st_mode & 0o777)
    with contextlib.closing(open_reader(source)) as reading, contextlib.closing(_target(draft)) as writing:
        reading.backup(writing)
        writing.execute("PRAGMA journal_mode=DELETE")
    with draft.open("rb") as file:
        os.fsync(file.fileno())


def _target(draft: Path) -> sqlite3.Connection:
    return sqlite3.connect(draft, isolation_level=None)
