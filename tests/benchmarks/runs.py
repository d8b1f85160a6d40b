"""W1 to W4: many runs, single runs, one wide run, and runs that wait for a signal."""

import asyncio

from tests.benchmarks.client import Client, repeat
from tests.benchmarks.errors import BenchError
from tests.benchmarks.measured import Round, timed_round
from tests.benchmarks.scale import BRANCHES, STEPS, Scale
from tests.benchmarks.station import Station
from tests.benchmarks.usage import Meter
from tests.benchmarks.workflows import PARALLEL, PARKED, SEQUENTIAL

PARKED_SECONDS, POLL_SECONDS = 60.0, 0.05


async def many_runs(station: Station, client: Client, scale: Scale) -> Round:
    """W1: sequential runs, fifty in flight."""
    await warm_up(client, scale)
    async with Meter(station.pids) as meter:
        seconds = await repeat(scale.sequential_runs, scale.in_flight, lambda _: client.run(SEQUENTIAL))
    return timed_round(meter.usage, seconds, steps=len(seconds) * STEPS, rates=True)


async def single_runs(station: Station, client: Client, scale: Scale) -> Round:
    """W2: sequential runs, one at a time."""
    await warm_up(client, scale)
    async with Meter(station.pids) as meter:
        seconds = await repeat(scale.single_runs, 1, lambda _: client.run(SEQUENTIAL))
    return timed_round(meter.usage, seconds, steps=len(seconds) * STEPS)


async def parallel_runs(station: Station, client: Client, scale: Scale) -> Round:
    """W3: one run of a hundred branches and a join, again and again."""
    await repeat(2, 1, lambda _: client.run(PARALLEL))
    async with Meter(station.pids) as meter:
        seconds = await repeat(scale.parallel_runs, 1, lambda _: client.run(PARALLEL))
    return timed_round(meter.usage, seconds, steps=len(seconds) * BRANCHES)


async def signalled_runs(station: Station, client: Client, scale: Scale) -> Round:
    """W4: runs wait for a signal; signal one and wait for its end, then the next."""
    warm = [await client.start(PARKED) for _ in range(3)]
    await repeat(len(warm), 1, lambda number: client.signal(warm[number]))
    parked = [await client.start(PARKED) for _ in range(scale.signalled_runs)]
    await until_parked(client, len(parked))
    async with Meter(station.pids) as meter:
        seconds = await repeat(len(parked), 1, lambda number: client.signal(parked[number]))
    return timed_round(meter.usage, seconds, steps=len(seconds))


async def warm_up(client: Client, scale: Scale) -> None:
    """Every process has done each thing once before the clock runs."""
    await repeat(scale.warm_up_runs, 10, lambda _: client.run(SEQUENTIAL))


async def until_parked(client: Client, count: int) -> None:
    """Return when so many runs wait for a signal."""
    try:
        async with asyncio.timeout(PARKED_SECONDS):
            while await client.count("WAITING_SIGNAL") < count:  # noqa: ASYNC110 - it is the API that is asked
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise BenchError(f"{count} runs were started, but not all of them wait for their signal") from None
