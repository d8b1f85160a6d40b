"""Compares memory with the store now and then: nothing that must happen may depend on having been noticed once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from station.runtime.logging import get_logger
from station.scheduler.engine.attempts import Attempts
from station.scheduler.engine.timers import Timers
from station.scheduler.store.reader import Reader

log = get_logger("sweep")

_PERIOD_SECONDS = 30.0
_GRACE_MS = 10_000


class Sweep:
    """Finds timers and attempts that a failed commit or a failed watcher has left out of memory."""

    def __init__(self, *, reader: Reader, timers: Timers, attempts: Attempts, now: Callable[[], int]) -> None:
        self._reader = reader
        self._timers = timers
        self._attempts = attempts
        self._now = now

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(_PERIOD_SECONDS)
            try:
                await self.once()
            except Exception:
                log.exception("sweep_failed")

    async def once(self) -> None:
        """Look once."""
        await self._timers.load(self._reader, due_before=self._now() - _GRACE_MS)
        await self._attempts.load(self._reader)
