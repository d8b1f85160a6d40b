"""The machine that the figures are from."""

import os
import platform
import subprocess
import time
from pathlib import Path

from msgspec import Struct

from tests.chaos_rig.recovery import Spread, spread


class Machine(Struct, frozen=True):
    cores: int
    system: str
    python: str
    fsync_microseconds: Spread
    """Of 4 KiB appended, in the directory of the data."""
    commit: str


def describe(directory: Path) -> Machine:
    """Look at it."""
    root = Path(__file__).parents[2]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=root, check=False, capture_output=True, text=True
    ).stdout.strip()
    return Machine(
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        fsync_microseconds=_fsync(directory),
        commit=commit or "unknown",
    )


def _fsync(directory: Path) -> Spread:
    path, block, found = directory / "fsync-probe", b"x" * 4096, list[int]()
    with path.open("wb", buffering=0) as file:
        for _ in range(100):
            file.write(block)
            started = time.perf_counter_ns()
            os.fsync(file.fileno())
            found.append((time.perf_counter_ns() - started) // 1000)
    path.unlink()
    return spread(found)
