"""Remembers which programs run, so that those of a runner that was killed can be ended when it starts again.

The rule: only a process of the noted group that carries the noted idempotency key is ever killed, for process ids are
used again by the system. The notes are hints, not records: nothing is flushed to disk.
"""

import contextlib
import os
import signal
from collections.abc import Generator
from pathlib import Path

import psutil

from station.runtime.logging import get_logger

log = get_logger("leftovers")
KEY = "STATION_IDEMPOTENCY_KEY"


class Leftovers:
    """Notes in one folder, a file per running program. Without a folder nothing is noted."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def noted(self, group: int, key: str) -> Generator[None]:
        """The program of this process group runs meanwhile."""
        if self._folder is None:
            yield
            return
        note = self._folder / str(group)
        note.write_text(key)
        try:
            yield
        finally:
            note.unlink(missing_ok=True)

    def sweep(self) -> int:
        """Kill what is left of programs noted by earlier starts; how many processes that were."""
        if self._folder is None:
            return 0
        notes = {int(note.name): note.read_text() for note in self._folder.iterdir() if note.name.isdigit()}
        killed = sum(_killed(process, notes) for process in psutil.process_iter()) if notes else 0
        for group in notes:
            (self._folder / str(group)).unlink(missing_ok=True)
        if killed:
            log.warning("programs_of_an_earlier_start_killed", processes=killed)
        return killed


def _killed(process: psutil.Process, notes: dict[int, str]) -> bool:
    try:
        key = notes.get(os.getpgid(process.pid))
        if key is None or process.environ().get(KEY) != key:
            return False
        process.send_signal(signal.SIGKILL)
    except (OSError, psutil.Error):
        return False
    return True
