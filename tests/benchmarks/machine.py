"""Facts of the machine that figures mean nothing without."""

import os
import platform
import sqlite3
import subprocess
from pathlib import Path
from time import perf_counter

import msgspec
import psutil

from tests.benchmarks.figures import percentile
from tests.support.nats import BINARY

SYNCS, SYNC_BYTES = 200, 4096
_ROOT = Path(__file__).parents[2]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where and with what it was measured."""

    cores: int
    memory_gib: float
    filesystem: str
    """Of the data directories."""
    fdatasync_p50_ms: float
    fdatasync_p99_ms: float
    load1: float
    """Runnable processes over the last minute, before anything was started."""
    kernel: str
    python: str
    sqlite: str
    nats: str
    commit: str
    """With a + when the working tree differs from it."""


def examine(directory: Path) -> Machine:
    """Look, and measure how fast the disk of this directory is."""
    syncs = _fdatasync_seconds(directory)
    return Machine(
        cores=os.cpu_count() or 1,
        memory_gib=psutil.virtual_memory().total / 2**30,
        filesystem=_filesystem(directory),
        fdatasync_p50_ms=percentile(syncs, 50) * 1e3,
        fdatasync_p99_ms=percentile(syncs, 99) * 1e3,
        load1=os.getloadavg()[0],
        kernel=platform.release(),
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        nats=_output(str(BINARY), "--version").rpartition("v")[2],
        commit=_commit(),
    )


def _fdatasync_seconds(directory: Path) -> list[float]:
    path = directory / f"station-bench-sync-{os.getpid()}"
    found: list[float] = []
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        for _ in range(SYNCS):
            os.write(file, bytes(SYNC_BYTES))
            began = perf_counter()
            os.fdatasync(file)
            found.append(perf_counter() - began)
    finally:
        os.close(file)
        path.unlink()
    return found


def _filesystem(directory: Path) -> str:
    mounts = [part for part in psutil.disk_partitions(all=True) if directory.resolve().is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"


def _commit() -> str:
    changed = _output("git", "status", "--porcelain", "--untracked-files=no")
    return _output("git", "rev-parse", "--short", "HEAD") + ("+" if changed else "")


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
