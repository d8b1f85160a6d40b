"""One Station per data directory: a lock that dies with its holder, and says who holds it."""

import fcntl
import os
import time
from pathlib import Path
from typing import Self

from station.cli.errors import CommandError

POLL_SECONDS = 0.05


class DataDirectoryLock:
    """Held from `acquire` until `release`, or until the process is gone. The file holds the holder's pid."""

    def __init__(self, data_dir: Path) -> None:
        """Touches nothing yet."""
        self.data_dir = data_dir
        self._path = data_dir / "stn.lock"
        self._file: int | None = None

    def __enter__(self) -> Self:
        """As `acquire`."""
        self.acquire()
        return self

    def __exit__(self, *_error: object) -> None:
        """As `release`."""
        self.release()

    def acquire(self) -> None:
        """Take it. Raises CommandError when somebody has it (naming their pid), or the directory is not usable."""
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            todo = "choose another with --data-dir or STATION_DATA_DIR"
            raise CommandError(
                f"the data directory cannot be used ({error})", where=str(self.data_dir), todo=todo
            ) from error
        if not _try(file):
            os.close(file)
            raise CommandError(
                f"a Station (pid {self.holder() or 'unknown'}) is using this data directory already",
                where=str(self.data_dir),
                todo="`stn status` shows it, `stn down` stops it; or start another one with --data-dir and --port",
            )
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        self._file = file

    def release(self) -> None:
        """Give it back. Safe to call twice."""
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None

    def holder(self) -> int | None:
        """The pid of whoever holds it now; None when it is free."""
        try:
            file = os.open(self._path, os.O_RDWR)
        except OSError:
            return None
        try:
            if _try(file):
                return None
            text = os.pread(file, 32, 0).decode(errors="replace").strip()
            return int(text) if text.isdecimal() else None
        finally:
            os.close(file)

    def wait_until_free(self, seconds: float) -> bool:
        """Whether nobody holds it any more within that time."""
        deadline = time.monotonic() + seconds
        while self.holder() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True


def _try(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
