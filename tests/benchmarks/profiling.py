"""Where the time of a workload goes: py-spy looks at the Python services while it runs.

Per service: `.folded` (collapsed stacks), `.speedscope.json` (for speedscope), `.top.txt` (the costliest lines).
"""

import asyncio
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.benchmarks.errors import BenchError

PROFILED = ("scheduler", "agent-runner", "gateway")
RATE, TOP = 250, 40
ATTACH_SECONDS, END_SECONDS = 1.0, 60.0
WAITING = (
    "_connection_worker_thread (aiosqlite",
    "_worker (concurrent/futures",
    "Writer._next_group (",
    "wait (threading",
)
"""Where threads wait for work: py-spy does not always see that they do, so the text leaves out what ends there."""
_RESOLVE = "import shutil; print(shutil.which('py-spy') or '')"


def find_py_spy() -> str:
    """The installed one, else the one that uv fetches into its cache. Raises BenchError when there is neither."""
    beside = Path(sys.executable).parent / "py-spy"
    if found := (str(beside) if beside.exists() else shutil.which("py-spy")):
        return found
    uv = Path(sys.executable).parent / "uv"
    command = [str(uv), "tool", "run", "--from", "py-spy", "python", "-c", _RESOLVE]
    try:
        resolved = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        words = getattr(error, "stderr", "") or str(error)
        raise BenchError(f"py-spy is neither installed nor to be had ({words.strip()}); install py-spy") from None
    if not resolved:
        raise BenchError("py-spy is not installed; install it with `uv pip install py-spy`")
    return resolved


@asynccontextmanager
async def profiled(pids: Mapping[str, int], folder: Path) -> AsyncIterator[None]:
    """Record what the services do inside; the files are in the folder (which is there) afterwards."""
    py_spy = await asyncio.to_thread(find_py_spy)
    recorders = {name: _attach(py_spy, pids[name], folder / f"{name}.folded") for name in PROFILED if name in pids}
    try:
        await asyncio.sleep(ATTACH_SECONDS)
        for name, recorder in recorders.items():
            if recorder.poll() is not None:
                words = recorder.stderr.read().decode(errors="replace").strip() if recorder.stderr else ""
                raise BenchError(f"py-spy cannot look at {name} ({words}); it takes the right to trace (root)")
        yield
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


def top_list(folded: str) -> str:
    """The frames in which most samples ended, and those that most samples went through, as text."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for frames, count in stacks(folded):
        if frames[-1].startswith(WAITING):
            continue
        own[frames[-1]] += count
        for frame in set(frames):
            total[frame] += count
    samples = sum(own.values()) or 1
    lines = [f"{samples} samples"]
    for title, counter in (("own time", own), ("with what it calls", total)):
        lines += ["", title]
        lines += [f"{count / samples:6.1%}  {frame}" for frame, count in counter.most_common(TOP)]
    return "\n".join(lines) + "\n"


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
        [*command, "--duration", "3600"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def _write_views(folder: Path, name: str) -> None:
    folded = (folder / f"{name}.folded").read_text()
    (folder / f"{name}.top.txt").write_text(top_list(folded))
    (folder / f"{name}.speedscope.json").write_bytes(msgspec.json.encode(speedscope(name, folded)))
