"""``python -m station.scheduler.restore --database PATH --from PATH``: a copy in its place, the old one kept.

The scheduler's lock is held meanwhile. The rule: whatever moment this is killed at, a database that is whole has the
name, and no log stands beside it that belongs to another.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from station.contracts.backups import RestoreReport
from station.scheduler.store.copies import copied, sync_directory
from station.scheduler.store.database import Lock, StoreError, open_reader


def restore(database: Path, backup: Path) -> RestoreReport:
    """Put a copy in the place of the database. Raises StoreError, and then nothing has changed."""
    if not backup.is_file():
        raise StoreError(f"There is no file {backup} to restore.")
    if database.exists() and backup.samefile(database):
        raise StoreError(f"{backup} is the database itself. Name a copy of it.")
    lock = Lock(database)
    lock.acquire()
    try:
        with copied(backup, database) as (draft, contents):
            replaced = _keep(database)
            draft.replace(database)
            sync_directory(database.parent)
    finally:
        lock.release()
    return RestoreReport(
        database=str(database),
        runs=contents.runs,
        events=contents.events,
        replaced=None if replaced is None else str(replaced),
    )


def _keep(database: Path) -> Path | None:
    """Give the database that is there a second name, and take its log away from beside the first.

    The log is folded in before. One that cannot be, of a damaged file, goes along: together they are what they were.
    """
    log, index = Path(f"{database}-wal"), Path(f"{database}-shm")
    kept: Path | None = None
    if database.exists():
        _fold(database)
        kept = _free_name(database)
        os.link(database, kept)
        if log.exists():
            os.link(log, f"{kept}-wal")
        sync_directory(database.parent)
    log.unlink(missing_ok=True)
    index.unlink(missing_ok=True)
    return kept


def _fold(database: Path) -> None:
    """Not before it could be read: on opening a file that is none of its own, SQLite deletes what lies beside it."""
    with contextlib.suppress(sqlite3.Error):
        with contextlib.closing(open_reader(database)) as reading:
            reading.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _free_name(database: Path) -> Path:
    now = datetime.now(UTC)
    while True:
        name = database.with_name(f"{database.name}.replaced-{now:%Y%m%dT%H%M%S.%f}Z")
        if not name.exists():
            return name
        now = datetime.now(UTC)


def main() -> None:
    """Print the report as JSON; exit 2 with a sentence when nothing was restored."""
    parser = argparse.ArgumentParser(description="Put a copy of a Station database in its place.")
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--from", dest="backup", type=Path, required=True)
    wanted = parser.parse_args()
    try:
        report = restore(wanted.database, wanted.backup)
    except StoreError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")


if __name__ == "__main__":
    main()
