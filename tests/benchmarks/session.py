"""Runs the rounds of the chosen workloads, each on a fresh system, and takes the medians."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec

from tests.benchmarks import crash, growth, long_runs, parking, profiling, runs
from tests.benchmarks.client import Client
from tests.benchmarks.figures import medians
from tests.benchmarks.measured import GAUGES, Round
from tests.benchmarks.scale import Scale, prolonged
from tests.benchmarks.station import Station
from tests.support.chart import Lane
from tests.support.gauges import Sampler

SAMPLE_SECONDS = 0.5
EMPTY_SECONDS = 30.0
"""Within which the queues are empty once the work is done; runs that are parked stay."""
PARKED = frozenset({"runs_open"})

Measure = Callable[[Station, Client, Scale], Awaitable[Round]]


class Workload(msgspec.Struct, frozen=True):
    """One of them."""

    measure: Measure
    title: Callable[[Scale], str]


WORKLOADS: Mapping[str, Workload] = {
    "W1": Workload(
        runs.many_runs, lambda s: f"{s.sequential_runs:,} runs of 5 steps in sequence, {s.in_flight} in flight"
    ),
    "W2": Workload(runs.single_runs, lambda s: f"{s.single_runs:,} runs of 5 steps in sequence, one at a time"),
    "W3": Workload(
        runs.parallel_runs, lambda s: f"one run, parallel over 100 branches of one step; {s.parallel_runs} times"
    ),
    "W4": Workload(
        runs.signalled_runs, lambda s: f"{s.signalled_runs:,} parked runs; signal one, wait for its end, next"
    ),
    "W5": Workload(
        crash.crash, lambda s: f"{s.crash_runs:,} runs of 5 steps; SIGKILL to everything after {s.crash_after_steps}"
    ),
    "W6": Workload(parking.parking, lambda s: f"{s.parked_runs:,} runs parked on a signal, started 50 at a time"),
    "W7": Workload(
        long_runs.long_runs,
        lambda s: f"one foreach over {s.items:,} items, {s.max_concurrency} at a time; a chain of {s.chain_states:,}",
    ),
    "SCALE": Workload(
        growth.growth,
        lambda s: (
            f"{s.history_runs:,} ended runs stored; {s.history_parked:,} parked; {s.history_in_flight:,} in flight"
        ),
    ),
}


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """All rounds of one workload."""

    workload: str
    title: str
    rounds: list[Round]
    medians: dict[str, float]
    """Over the rounds that no other program disturbed, or over all when every one was disturbed."""


async def measure(
    name: str,
    scale: Scale,
    *,
    rounds: int,
    directory: Path | None,
    told: Callable[[str], None],
    figures: Path | None = None,
) -> Result:
    """So many rounds; ``told`` hears of each as it is done. ``figures``: where the queues of the last are plotted."""
    done: list[Round] = []
    for number in range(1, rounds + 1):
        told(f"{name} round {number} of {rounds}")
        done.append(await _round(name, scale, directory, figures=figures))
    found = medians([each.figures for each in done])
    return Result(workload=name, title=WORKLOADS[name].title(scale), rounds=done, medians=found)


async def profile(name: str, scale: Scale, *, directory: Path | None, folder: Path) -> Round:
    """One round under the profiler; its figures are worth nothing."""
    return await _round(name, prolonged(scale), directory, profile_folder=folder)


async def _round(
    name: str, scale: Scale, directory: Path | None, profile_folder: Path | None = None, figures: Path | None = None
) -> Round:
    async with Station(directory, scale) as station:
        client = await station.client()
        watching = profiling.profiled(station.pids(), profile_folder) if profile_folder else contextlib.nullcontext()
        sampler = Sampler(station.data_dir, SAMPLE_SECONDS) if figures else None
        try:
            async with watching:
                done = await WORKLOADS[name].measure(station, client, scale)
            if sampler is None or figures is None:
                return done
            title = f"{name}: {WORKLOADS[name].title(scale)}"
            return await _plotted(done, title, station, sampler, figures / name.lower())
        finally:
            if sampler is not None:
                sampler.stop()
            await client.close()


async def _plotted(done: Round, title: str, station: Station, sampler: Sampler, path: Path) -> Round:
    """Wait until the queues are empty and plot them."""
    await asyncio.to_thread(sampler.wait_empty, EMPTY_SECONDS, PARKED)
    sampler.stop()
    lanes = [Lane("killed", [moment - sampler.began for moment in station.killed])] if station.killed else []
    note = f"the scheduler's metrics, every {SAMPLE_SECONDS} s; a gap: it did not answer"
    sampler.write(path, title, lanes, note)
    return msgspec.structs.replace(done, details=done.details | {GAUGES: sampler.extents()})
