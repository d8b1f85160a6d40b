"""One at a time per key: whoever comes while another is inside waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Turns(Generic[K]):
    """Holds nothing of a key that nobody is at."""

    def __init__(self) -> None:
        self._inside: dict[K, asyncio.Event] = {}

    @contextlib.asynccontextmanager
    async def of(self, key: K) -> AsyncGenerator[None]:
        """Be the only one inside for this key."""
        while key in self._inside:
            await self._inside[key].wait()
        done = self._inside[key] = asyncio.Event()
        try:
            yield
        finally:
            del self._inside[key]
            done.set()
