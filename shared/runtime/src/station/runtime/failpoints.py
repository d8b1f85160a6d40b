"""Named places at which a test can have a process die, as if by SIGKILL from outside.

Nobody pays for them: unless STATION_FAILPOINTS named a directory when this was imported, a hit does nothing. A point is
armed by a file of its name in that directory, which may say at which hit from then on (1 if it is empty). The file
goes before the process does, so that the process which is started next goes on.
"""

import os
import signal
from collections import Counter
from pathlib import Path

VARIABLE = "STATION_FAILPOINTS"


class Armed:
    """Hits of one process, counted while a file is there that arms their point."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._hits: Counter[str] = Counter()

    def hit(self, name: str) -> None:
        """Die here, if it is asked for."""
        file = self._directory / name
        try:
            wanted = int(file.read_text().strip() or "1")
        except FileNotFoundError:
            self._hits.pop(name, None)
            return
        self._hits[name] += 1
        if self._hits[name] >= wanted:
            file.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


def _nothing(name: str) -> None:
    """Nobody tests."""


_directory = os.environ.get(VARIABLE)
hit = Armed(Path(_directory)).hit if _directory else _nothing
