"""Where the time of a workload goes: py-spy looks at the Python services while it runs.

Per service: `.folded` (collapsed stacks), `.speedscope.json` (for speedscope), `.top.txt` (areas and functions).

How long each thread has used the CPU is asked of the system; what it did meanwhile is seen by the samples. A thread
that waits for Python's lock counts as at work in the function it waits in.
"""

import asyncio
import re
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import psutil

from tests.benchmarks.areas import area_of
from tests.benchmarks.errors import BenchError
from tests.benchmarks.usage import Usage

PROFILED = ("scheduler", "agent-runner", "gateway")
RATE, TOP, SHOWN = 250, 40, 10
ATTACH_SECONDS, END_SECONDS = 1.0, 60.0
WAITING = (
    "_connection_worker_thread (aiosqlite",
    "_worker (concurrent/futures",
    "Writer._next_group (",
    "wait (threading",
    "Condition.wait (threading",
    "WorkerThread.run (anyio",
)
"""Where threads wait for work: py-spy does not always see that they do, so the text leaves out what ends there."""
_THREAD = re.compile(r"thread \((\d+)\)")


def find_py_spy() -> str:
    """The one beside Python, else the one on the path. Raises BenchError when there is neither."""
    beside = Path(sys.executable).parent / "py-spy"
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise BenchError("py-spy is not installed; run `just setup`")
    return found


@asynccontextmanager
async def profiled(pids: Mapping[str, int], folder: Path) -> AsyncGenerator[None]:
    """Record what the services do inside; the files are in the folder (which is there) afterwards."""
    py_spy = await asyncio.to_thread(find_py_spy)
    recorders = {name: _attach(py_spy, pids[name], folder / f"{name}.folded") for name in PROFILED if name in pids}
    try:
        await asyncio.sleep(ATTACH_SECONDS)
        for name, recorder in recorders.items():
            if recorder.poll() is not None:
                words = recorder.stderr.read().decode(errors="replace").strip() if recorder.stderr else ""
                raise BenchError(f"py-spy cannot look at {name} ({words}); it takes the right to trace (root)")
        before = {name: _thread_seconds(pids[name]) for name in recorders}
        yield
        for name in recorders:
            used = {
                thread: seconds - before[name].get(thread, 0.0)
                for thread, seconds in _thread_seconds(pids[name]).items()
            }
            (folder / f"{name}.threads.json").write_bytes(msgspec.json.encode(used))
    finally:
        for recorder in recorders.values():
            if recorder.poll() is None:
                recorder.send_signal(signal.SIGINT)
        for recorder in recorders.values():
            await asyncio.to_thread(recorder.communicate, timeout=END_SECONDS)
    for name in recorders:
        _write_views(folder, name)


def stacks(folded: str) -> Iterator[tuple[list[str], int]]:
    """The stacks of a collapsed profile, outermost frame first, each with how often it was seen."""
    for line in folded.splitlines():
        frames, _, count = line.rpartition(" ")
        if frames:
            yield frames.split(";"), int(count)


def weighed(folded: str, seconds: Mapping[int, float]) -> list[tuple[list[str], float]]:
    """Each stack that was at work with its share of the CPU of the process; ``seconds`` of CPU by thread."""
    seen: dict[int, list[tuple[list[str], int]]] = {}
    for frames, count in stacks(folded):
        thread = _THREAD.match(frames[0])
        if thread is not None and not frames[-1].startswith(WAITING):
            seen.setdefault(int(thread[1]), []).append((frames[1:], count))
    known = {thread: seconds.get(thread, 0.0) for thread in seen}
    total = sum(known.values()) or 1.0
    return [
        (frames, count / sum(each for _, each in found) * known[thread] / total)
        for thread, found in seen.items()
        for frames, count in found
    ]


def shares(seen: Sequence[tuple[list[str], float]]) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """The shares of the areas, of the functions by themselves, and of the functions with what they call."""
    areas, own, total = (defaultdict[str, float](float) for _ in range(3))
    for frames, share in seen:
        areas[area_of(frames)] += share
        own[frames[-1]] += share
        for frame in set(frames):
            total[frame] += share
    return tuple(dict(sorted(each.items(), key=lambda pair: -pair[1])) for each in (areas, own, total))  # pyright: ignore[reportReturnType] - there are three


def table_lines(workload: str, folder: Path, usage: Usage) -> Iterator[str]:
    """What a profile says, as Markdown."""
    whole = usage.cpu_total_s or 1.0
    yield f"## {workload}"
    yield ""
    parts = sorted(usage.cpu_s.items(), key=lambda pair: -pair[1])
    yield "CPU of the processes: " + ", ".join(f"{name} {seconds / whole:.0%}" for name, seconds in parts)
    yield f"(the benchmark {usage.driver_cpu_s / whole:.0%} on top; others {usage.other_cpu_share:.0%} of the machine)"
    for name in PROFILED:
        areas, own, _ = shares(_read(folder, name))
        yield from ("", f"### {name}", "", "| share of its CPU | area |", "|---|---|")
        yield from (f"| {share:.1%} | {area} |" for area, share in areas.items())
        yield from ("", "| itself | function |", "|---|---|")
        yield from (f"| {share:.1%} | `{frame}` |" for frame, share in islice(own.items(), SHOWN))
    yield from ("", f"More: {folder}/*.top.txt (text), {folder}/*.speedscope.json (flame graph)")


def top_list(seen: Sequence[tuple[list[str], float]]) -> str:
    """The areas, the functions that took most by themselves, and those that took most with what they call."""
    lines: list[str] = []
    titles = ("areas", "functions by themselves", "with what they call")
    for title, each in zip(titles, shares(seen), strict=True):
        lines += [title, *(f"{share:6.1%}  {frame}" for frame, share in islice(each.items(), TOP)), ""]
    return "\n".join(lines)


def speedscope(name: str, folded: str) -> dict[str, Any]:
    """The same as a document that speedscope opens."""
    numbers: dict[str, int] = {}
    samples: list[list[int]] = []
    weights: list[int] = []
    for frames, count in stacks(folded):
        samples.append([numbers.setdefault(frame, len(numbers)) for frame in frames])
        weights.append(count)
    profile = {"type": "sampled", "name": name, "unit": "none", "startValue": 0, "endValue": sum(weights)}
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "shared": {"frames": [{"name": frame} for frame in numbers]},
        "profiles": [profile | {"samples": samples, "weights": weights}],
        "name": name,
    }


def _attach(py_spy: str, pid: int, file: Path) -> subprocess.Popen[bytes]:
    command = [py_spy, "record", "--pid", str(pid), "--rate", str(RATE), "--format", "raw", "--output", str(file)]
    return subprocess.Popen(
        [*command, "--threads", "--function", "--duration", "3600"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _thread_seconds(pid: int) -> dict[int, float]:
    return {thread.id: thread.user_time + thread.system_time for thread in psutil.Process(pid).threads()}


def _read(folder: Path, name: str) -> list[tuple[list[str], float]]:
    seconds = msgspec.json.decode((folder / f"{name}.threads.json").read_bytes(), type=dict[int, float])
    return weighed((folder / f"{name}.folded").read_text(), seconds)


def _write_views(folder: Path, name: str) -> None:
    folded = (folder / f"{name}.folded").read_text()
    (folder / f"{name}.top.txt").write_text(top_list(_read(folder, name)))
    (folder / f"{name}.speedscope.json").write_bytes(msgspec.json.encode(speedscope(name, folded)))
