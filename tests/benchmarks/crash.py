"""W5: everything is killed in the middle of many runs, and started again."""

import asyncio
import contextlib
from time import perf_counter

from station.runtime.ids import new_id
from tests.benchmarks import database
from tests.benchmarks.client import Client, repeat
from tests.benchmarks.completions import END_SECONDS
from tests.benchmarks.errors import BenchError
from tests.benchmarks.measured import Round, round_of
from tests.benchmarks.runs import warm_up
from tests.benchmarks.scale import STEPS, Scale
from tests.benchmarks.station import Station
from tests.benchmarks.usage import Meter
from tests.benchmarks.workflows import SEQUENTIAL

KILL_SECONDS, POLL_SECONDS = 60.0, 0.005


async def crash(station: Station, client: Client, scale: Scale) -> Round:
    """SIGKILL after so many steps. The clock runs from the restart until every run has completed."""
    await warm_up(client, scale)
    ids = [new_id("run") for _ in range(scale.crash_runs)]
    acknowledged = await _start_until_killed(station, client, ids, scale)
    with database.reading(station.database) as before:
        completed_before = database.completed_runs(before)
        steps_at_kill = database.succeeded_steps(before) - scale.warm_up_runs * STEPS
    async with Meter(station.pids) as meter:
        began = perf_counter()
        await station.start()
        ready = perf_counter() - began
        again = await station.client()
        missing = [run_id for run_id in ids if run_id not in acknowledged]
        await repeat(len(missing), 20, lambda number: _start(again, missing[number]))
        complete = await _all_complete(station, scale.warm_up_runs + len(ids)) - began
    await again.close()
    with database.reading(station.database) as after:
        repeated = database.repeated_steps(after)
        steps = database.succeeded_steps(after)
    if steps != (scale.warm_up_runs + len(ids)) * STEPS:
        raise BenchError(f"all runs have completed, but {steps} steps have succeeded")
    figures = {"restart_to_all_complete_s": complete, "restart_ready_s": ready, "steps_repeated": float(repeated)}
    figures |= {"completed": float(len(ids)), "steps_at_kill": float(steps_at_kill)}
    counts = {"acknowledged_at_kill": len(acknowledged), "completed_at_kill": completed_before - scale.warm_up_runs}
    return round_of(meter.usage, figures, **counts)


async def _start_until_killed(station: Station, client: Client, ids: list[str], scale: Scale) -> set[str]:
    """The runs whose start was acknowledged before everything was killed."""
    acknowledged: set[str] = set()
    await client.completions.count_steps()

    async def start(number: int) -> float:
        acknowledged.add(await client.start(SEQUENTIAL, run_id=ids[number]))
        return 0.0

    starting = asyncio.create_task(repeat(len(ids), scale.in_flight, start))
    deadline = perf_counter() + KILL_SECONDS
    while client.completions.steps_succeeded < scale.crash_after_steps:
        if perf_counter() > deadline:
            raise BenchError(f"only {client.completions.steps_succeeded} steps within {KILL_SECONDS:.0f} s")
        await asyncio.sleep(POLL_SECONDS)
    known = set(acknowledged)
    station.kill()
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError, OSError, TimeoutError):
        await starting
    await client.close()
    return known


async def _start(client: Client, run_id: str) -> float:
    """The acknowledgement of an earlier start may have been lost: the run's id makes both one."""
    await client.start(SEQUENTIAL, run_id=run_id)
    return 0.0


async def _all_complete(station: Station, count: int) -> float:
    """The moment at which so many runs were complete."""
    deadline = perf_counter() + END_SECONDS
    with database.reading(station.database) as connection:
        while (complete := database.completed_runs(connection)) < count:
            if perf_counter() > deadline:
                raise BenchError(f"{count - complete} runs have not completed {END_SECONDS:.0f} s after the restart")
            await asyncio.sleep(POLL_SECONDS)
    return perf_counter()
