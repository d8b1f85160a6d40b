"""Waiting for what another process or the loop does, where nothing tells of it."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(condition: Callable[[], T], seconds: float = 20.0, pause: float = 0.02) -> T:
    """Look again and again until the condition is true; its value. Raises TimeoutError after so many seconds."""
    async with asyncio.timeout(seconds):
        while not (value := condition()):  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(pause)
    return value


def wait_until(condition: Callable[[], T], seconds: float = 40.0, pause: float = 0.02) -> T:
    """`eventually`, for a test that runs in no loop."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(pause)
    return value
