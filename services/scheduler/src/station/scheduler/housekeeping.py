"""What grows and may shrink: idempotency keys that nobody will send again, and dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from station.runtime.logging import get_logger
from station.scheduler.engine.dead_letters import DeadLetters
from station.scheduler.store.reader import Reader
from station.scheduler.store.writer import Unit, Writer

log = get_logger("housekeeping")

_PERIOD_SECONDS = 60.0
_KEYS_KEPT_MS = 7 * 24 * 3600 * 1000
_DROP_KEYS = """
DELETE FROM idempotency_keys WHERE (principal, key) IN (
    SELECT principal, key FROM idempotency_keys WHERE created_at < ? ORDER BY created_at LIMIT 1000)
"""
_OLD_KEYS = "SELECT 1 FROM idempotency_keys WHERE created_at < ? LIMIT 1"


class Housekeeping:
    """Cleans up, for ever."""

    def __init__(self, writer: Writer, reader: Reader, letters: DeadLetters, now: Callable[[], int]) -> None:
        self._writer = writer
        self._reader = reader
        self._letters = letters
        self._now = now

    async def run(self) -> None:
        """Round after round."""
        while True:
            try:
                await self.once()
            except Exception as error:  # noqa: BLE001 - the next round does it
                log.warning("housekeeping_failed", error=str(error))
            await asyncio.sleep(_PERIOD_SECONDS)

    async def once(self) -> None:
        """One round."""
        before = self._now() - _KEYS_KEPT_MS
        while await self._reader.row(_OLD_KEYS, (before,)) is not None:
            unit = Unit()
            unit.add(_DROP_KEYS, (before,))
            await self._writer.submit(unit)
        await self._letters.cut()
