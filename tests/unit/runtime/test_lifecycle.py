"""What runs in the background ends when it is told to, though libraries swallow a cancellation now and then."""

import asyncio
import contextlib

import pytest

from station.runtime import lifecycle
from station.scheduler import app


async def deaf() -> None:
    """As `asyncio.wait_for` of Python 3.11 when what it waits for comes in the moment in which it is cancelled."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    await asyncio.sleep(60)


async def test_a_task_that_swallows_a_cancellation_is_ended() -> None:
    tasks = [asyncio.create_task(deaf()), asyncio.create_task(asyncio.sleep(60))]
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await lifecycle.end(tasks)
    assert all(task.cancelled() for task in tasks)


async def test_what_is_born_while_others_end_is_ended_too() -> None:
    born: list[asyncio.Task[None]] = []

    async def reconnecting() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            born.append(asyncio.create_task(deaf()))

    first = asyncio.create_task(reconnecting())
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await lifecycle.end_rest()
    assert first.cancelled()
    assert [task.cancelled() for task in born] == [True]


async def test_what_has_ended_stays_as_it_is() -> None:
    async def fails() -> None:
        raise ValueError("no")

    failed = asyncio.create_task(fails())
    await asyncio.wait([failed])
    await lifecycle.end([failed])
    with pytest.raises(ValueError, match="no"):
        failed.result()


async def test_a_scheduler_stops_though_a_part_of_it_swallows_the_cancellation() -> None:
    stop = lifecycle.Stop()
    asyncio.get_running_loop().call_soon(stop.set)
    async with asyncio.timeout(20):
        await app._until_stopped([deaf()], stop)
