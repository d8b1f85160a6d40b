"""One at a time per key: whoever comes while another is inside waits."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Turns(Generic[K]):
    """Holds nothing of a key that nobody is at."""

    def __init__(self) -> None:
        self._inside: dict[K, asyncio.Event | None] = {}
        """What those who wait for a key wait for; None while nobody does."""

    def of(self, key: K) -> _Turn[K]:
        """Be the only one inside for this key: ``async with turns.of(key)``."""
        return _Turn(self._inside, key)


class _Turn(Generic[K]):
    __slots__ = ("_inside", "_key")

    def __init__(self, inside: dict[K, asyncio.Event | None], key: K) -> None:
        self._inside = inside
        self._key = key

    async def __aenter__(self) -> None:
        inside, key = self._inside, self._key
        while key in inside:
            left = inside[key]
            if left is None:
                left = inside[key] = asyncio.Event()
            await left.wait()
        inside[key] = None

    async def __aexit__(self, *_error: object) -> None:
        left = self._inside.pop(self._key)
        if left is not None:
            left.set()
