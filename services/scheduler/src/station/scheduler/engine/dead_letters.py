"""Messages that nobody could use: the newest are kept, each up to a size, and what goes is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from station.contracts.work import MOST_BODY_BYTES
from station.runtime import metrics
from station.scheduler.engine.statements import INSERT_DEAD_LETTER
from station.scheduler.store.reader import Reader
from station.scheduler.store.writer import Unit, Writer

KEPT = metrics.gauge("dead_letters", "Messages set aside because nobody could use them.")
DROPPED = metrics.counter("dead_letters_dropped_total", "The oldest messages set aside, dropped for newer ones.")
MOST_LETTERS = 10_000
MOST_REASON_CHARACTERS = 2_000
_BETWEEN_CUTS = 100
_COUNT = "SELECT count(*) FROM dead_letters"
_CUT = "DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters ORDER BY id LIMIT ?)"


class DeadLetters:
    """The table of that name."""

    def __init__(self, writer: Writer, reader: Reader, now: Callable[[], int]) -> None:
        self._writer = writer
        self._reader = reader
        self._now = now
        self._since_cut = 0
        self._cutting = asyncio.Lock()

    async def keep(self, subject: str, body: bytes, why: str, size: int | None = None) -> None:
        """Keep a message; returns once it is on disk. ``size``: its bytes, if the body is cut. Raises as the writer."""
        self._since_cut += 1
        if self._since_cut >= _BETWEEN_CUTS:
            await self.cut()
        size = max(len(body), size or 0)
        if size > MOST_BODY_BYTES:
            why = f"({MOST_BODY_BYTES} of its {size} bytes are kept) {why}"
        unit = Unit()
        row = (subject, body[:MOST_BODY_BYTES], why[:MOST_REASON_CHARACTERS], self._now())
        unit.add(INSERT_DEAD_LETTER, row)
        await self._writer.submit(unit)
        KEPT.inc()

    async def cut(self) -> None:
        """Drop the oldest of too many."""
        self._since_cut = 0
        async with self._cutting:
            row = await self._reader.row(_COUNT)
            count = row[0] if row else 0
            excess = count - MOST_LETTERS
            if excess > 0:
                unit = Unit()
                unit.add(_CUT, (excess,))
                await self._writer.submit(unit)
                DROPPED.inc(excess)
            KEPT.set(min(count, MOST_LETTERS))
