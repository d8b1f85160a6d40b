"""Listens to what a server's program writes to stderr, and keeps the end of it for messages."""

import asyncio
import os
from typing import IO

KEPT = 2048


class StderrTail:
    """A pipe, whose end to write to goes to the program."""

    def __init__(self) -> None:
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        self.writer: IO[str] = os.fdopen(write, "w")
        self._tail = bytearray()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._read, self._take)

    @property
    def text(self) -> str:
        """What was written last."""
        return self._tail.decode(errors="replace").strip()

    def close(self) -> None:
        """Listen no more, after a last look."""
        self.writer.close()
        if self._read >= 0:
            self._take()
        self._end()

    def _take(self) -> None:
        try:
            data = os.read(self._read, 65536)
        except BlockingIOError:
            return
        if not data:
            self._end()
            return
        self._tail += data
        del self._tail[:-KEPT]

    def _end(self) -> None:
        if self._read >= 0:
            self._loop.remove_reader(self._read)
            os.close(self._read)
            self._read = -1
