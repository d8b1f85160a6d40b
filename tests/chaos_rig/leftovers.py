"""What is left on the stream of tasks when all runs are over: in the end nothing may be."""

import asyncio
import time

import nats
from nats import errors as nats_errors
from nats.js import JetStreamContext

from station.contracts import subjects
from station.runtime.broker import inbox_prefix
from station.runtime.bus import connection_options

LOOK_SECONDS = 0.5


def tasks_left(url: str, seconds: float) -> tuple[int, float]:
    """How many messages are left once there are none, or ``seconds`` are over; and how long that took.

    An acknowledgement that was lost is made good when the broker delivers again, which takes it up to half a minute.
    """
    return asyncio.run(_wait(url, seconds))


async def _wait(url: str, seconds: float) -> tuple[int, float]:
    nc = await nats.connect(url, **connection_options("chaos", inbox_prefix("scheduler")))
    stream, started = JetStreamContext(nc), time.monotonic()
    left = -1
    try:
        while left != 0 and time.monotonic() - started < seconds:
            try:
                left = (await stream.stream_info(subjects.TASKS_STREAM)).state.messages
            except (nats_errors.Error, TimeoutError):
                left = -1
            if left:
                await asyncio.sleep(LOOK_SECONDS)
    finally:
        await nc.close()
    return left, time.monotonic() - started
