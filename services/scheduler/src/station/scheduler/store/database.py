"""Opening the SQLite file: one writing connection, read-only ones, migrations, and the lock of the one scheduler."""

import fcntl
import os
import re
import sqlite3
from importlib import resources
from pathlib import Path
from typing import IO

from station.runtime.errors import StationError

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA busy_timeout=5000",
    "PRAGMA foreign_keys=ON",
    "PRAGMA wal_autocheckpoint=1000",
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA temp_store=MEMORY",
)
_MIGRATION = re.compile(r"(\d{4})_\w+\.sql\Z")


class StoreError(StationError):
    """The database cannot be used; the message says why and what to do."""


class Lock:
    """Held while this process is the one scheduler of a database. The kernel lets go of it when the process ends."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".lock")
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock, or say who has it."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = self.path.open("a+", encoding="ascii")
        except OSError as error:
            message = f"The lock file {self.path} cannot be opened: {error}. Is the directory writable?"
            raise StoreError(message) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            message = (
                f"Another scheduler (process {holder}) writes this database: {self.path} is locked."
                " One database has one scheduler: stop that one, or set STATION_DATA_DIR to another directory."
            )
            raise StoreError(message) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let the next scheduler in."""
        if self._file is not None:
            self._file.close()
            self._file = None


def path_of(url: str) -> Path:
    """Give the file of a ``sqlite:///path`` address."""
    prefix = "sqlite:///"
    if not url.startswith(prefix) or len(url) == len(prefix):
        message = f"STATION_DATABASE_URL must be sqlite:///path/to/station.db, not {url!r}."
        raise StoreError(message)
    return Path(url.removeprefix(prefix)).expanduser()


def open_writer(database: Path) -> sqlite3.Connection:
    """Open the one writing connection and bring the schema up to date."""
    try:
        database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What runs were given and what came out is for this user alone. SQLite gives the files beside it the same mode.
        os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False, cached_statements=256)
    except (sqlite3.Error, OSError) as error:
        raise _unusable(database, error) from error
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        migrate(connection)
    except sqlite3.Error as error:
        connection.close()
        raise _unusable(database, error) from error
    except StoreError:
        connection.close()
        raise
    return connection


def open_reader(database: Path) -> sqlite3.Connection:
    """Open a read-only connection; it can never write nor checkpoint."""
    connection = sqlite3.connect(reader_uri(database), uri=True, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA busy_timeout=5000")
    return connection


def reader_uri(database: Path) -> str:
    """Give the address of a read-only connection, whatever characters the path has."""
    return f"{database.resolve().as_uri()}?mode=ro"


def migrations() -> list[tuple[int, str]]:
    """Give every migration as ``(number, SQL)``, in order."""
    found: list[tuple[int, str]] = []
    for entry in resources.files("station.scheduler.store").joinpath("migrations").iterdir():
        match = _MIGRATION.match(entry.name)
        if match:
            found.append((int(match[1]), entry.read_text(encoding="utf-8")))
    return sorted(found)


def migrate(connection: sqlite3.Connection) -> int:
    """Apply what is missing, each migration in a transaction of its own, and give the version reached."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    known = migrations()
    if version > known[-1][0]:
        message = (
            f"The database has schema version {version}, this program knows {known[-1][0]}:"
            " it was written by a newer Station. Start that one."
        )
        raise StoreError(message)
    for number, sql in known:
        if number > version:
            connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version={number};\nCOMMIT;")
            version = number
    return version


def _unusable(database: Path, error: Exception) -> StoreError:
    return StoreError(f"The database {database} cannot be opened: {error}. Is the directory writable, the file intact?")
