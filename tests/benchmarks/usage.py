"""What a system takes of the machine while it works: CPU time and memory by process, and what others took meanwhile."""

import asyncio
import os
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Self

import msgspec
import psutil

SAMPLE_SECONDS = 0.25
MIB = 1024 * 1024


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Of one stretch of time. Processes that a service has started are counted as the service."""

    elapsed_s: float
    cpu_s: dict[str, float]
    peak_rss_mb: dict[str, float]
    peak_rss_total_mb: float
    """The largest sum at one moment; what processes share is counted in each."""
    driver_cpu_s: float
    """Of the benchmark itself."""
    other_cpu_share: float
    """Of all cores: what neither the system nor the benchmark has used."""
    steal_s: float

    @property
    def cpu_total_s(self) -> float:
        """Of the whole system, without the benchmark."""
        return sum(self.cpu_s.values())


class Meter:
    """Measures from entering to leaving; ``usage`` is there afterwards. ``pids``: the processes by name, asked anew."""

    usage: Usage

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        self._pids = pids
        self._peaks: dict[str, int] = {}
        self._peak = 0

    async def __aenter__(self) -> Self:
        self._known = tree(self._pids())
        self._cpu = {pid: cpu_seconds(pid) for pid in self._known}
        self._driver = cpu_seconds(os.getpid(), own=True)
        self._machine = _machine_seconds()
        self._began = perf_counter()
        self._sampling = asyncio.create_task(self._sample_often())
        return self

    async def __aexit__(self, *_error: object) -> None:
        elapsed = perf_counter() - self._began
        busy, steal = _machine_seconds()
        driver = cpu_seconds(os.getpid(), own=True) - self._driver
        self._sampling.cancel()
        self._known |= tree(self._pids())
        self._sample()
        used: dict[str, float] = {}
        for pid, name in self._known.items():
            # One that was started meanwhile began at nothing; one that has ended is in its parent's sum.
            used[name] = used.get(name, 0.0) + max(0.0, cpu_seconds(pid) - self._cpu.get(pid, 0.0))
        others = busy - self._machine[0] - sum(used.values()) - driver
        self.usage = Usage(
            elapsed_s=elapsed,
            cpu_s=used,
            peak_rss_mb={name: size / MIB for name, size in self._peaks.items()},
            peak_rss_total_mb=self._peak / MIB,
            driver_cpu_s=driver,
            other_cpu_share=max(0.0, others) / (elapsed * (os.cpu_count() or 1)),
            steal_s=steal - self._machine[1],
        )

    async def _sample_often(self) -> None:
        while True:
            self._sample()
            await asyncio.sleep(SAMPLE_SECONDS)

    def _sample(self) -> None:
        sizes = resident(self._known)
        for name, size in sizes.items():
            self._peaks[name] = max(self._peaks.get(name, 0), size)
        self._peak = max(self._peak, sum(sizes.values()))


def tree(roots: Mapping[str, int]) -> dict[int, str]:
    """Every process below the named ones, by pid, with the name of the nearest of them; and those themselves."""
    parents: dict[int, int] = {}
    for process in psutil.process_iter(["ppid"]):
        parents[process.pid] = process.info["ppid"] or 0
    names = {pid: name for name, pid in roots.items()}
    found: dict[int, str] = {}
    for pid in parents:
        above, seen = pid, set[int]()
        while above not in names and above in parents and above not in seen:
            seen.add(above)
            above = parents[above]
        if above in names:
            found[pid] = names[above]
    return found


def resident(processes: Mapping[int, str]) -> dict[str, int]:
    """Bytes in memory by name; a process that has ended has none."""
    sizes: dict[str, int] = {}
    for pid, name in processes.items():
        try:
            sizes[name] = sizes.get(name, 0) + psutil.Process(pid).memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return sizes


def cpu_seconds(pid: int, *, own: bool = False) -> float:
    """What a process has used so far, with those of its children that have ended (not with ``own``)."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    used = times.user + times.system
    return used if own else used + times.children_user + times.children_system


def _machine_seconds() -> tuple[float, float]:
    """Of all cores since the start of the machine: used by anybody, and taken by a host above it."""
    times = psutil.cpu_times()
    kinds = ("user", "nice", "system", "irq", "softirq")
    return sum(float(getattr(times, kind, 0.0)) for kind in kinds), float(getattr(times, "steal", 0.0))
