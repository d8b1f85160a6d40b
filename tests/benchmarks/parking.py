"""W6: thousands of runs that wait for a signal; what they cost while they do, and how fast one of them goes on."""

import asyncio

from tests.benchmarks import database
from tests.benchmarks.client import Client, repeat
from tests.benchmarks.figures import latencies, percentile
from tests.benchmarks.measured import Round, round_of
from tests.benchmarks.runs import until_parked, warm_up
from tests.benchmarks.scale import Scale
from tests.benchmarks.station import Station
from tests.benchmarks.usage import Meter, resident, tree
from tests.benchmarks.workflows import PARKED

_STRIDE = 37
"""Signalled runs are taken from all over the table, not from one end of it."""


async def parking(station: Station, client: Client, scale: Scale) -> Round:
    """Memory is compared before and after; the share of CPU is of one core, over some seconds of silence."""
    await warm_up(client, scale)
    parked: list[str] = []

    async def park(_number: int) -> float:
        began = asyncio.get_running_loop().time()
        parked.append(await client.start(PARKED))
        return asyncio.get_running_loop().time() - began

    await asyncio.sleep(scale.settle_seconds)
    before, bytes_before = resident(tree(station.pids())), database.size(station.database)
    async with Meter(station.pids) as starting:
        seconds = await repeat(scale.parked_runs, scale.in_flight, park)
    await until_parked(client, scale.parked_runs)
    await asyncio.sleep(scale.settle_seconds)
    after, bytes_after = resident(tree(station.pids())), database.size(station.database)
    async with Meter(station.pids) as idle:
        await asyncio.sleep(scale.idle_seconds)
    chosen = [parked[number * _STRIDE % len(parked)] for number in range(scale.parked_signals)]
    signalled = await repeat(len(chosen), 1, lambda number: client.signal(chosen[number]))
    growth = {name: (size - before.get(name, 0)) / 1024 / len(parked) for name, size in after.items()}
    figures = {
        "starts_per_s": len(parked) / starting.usage.elapsed_s,
        "kb_per_parked_run": sum(growth.values()),
        "scheduler_kb_per_parked_run": growth.get("scheduler", 0.0),
        "database_kb_per_parked_run": (bytes_after - bytes_before) / 1024 / len(parked),
        "idle_cpu_share": idle.usage.cpu_total_s / idle.usage.elapsed_s,
        "signal_p50_ms": percentile(signalled, 50) * 1e3,
    }
    details = {"start_latency": latencies(seconds), "rss_kb_per_run_by_process": growth, "idle": idle.usage}
    return round_of(starting.usage, figures, **details)
