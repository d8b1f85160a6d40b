"""Measures of the machine that this program runs on: from /proc on Linux, else from tools that every Unix has.

What cannot be measured raises NotMeasured; it is never made up.
"""

import os
import re
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_PAUSE_SECONDS = 0.1  # between the two looks that make a process's share of the CPU


class NotMeasured(Exception):
    """This machine does not say."""


class Process(NamedTuple):
    """One process; `cpu_percent` is of one core."""

    pid: int
    command: str
    rss_bytes: int
    cpu_percent: float


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_averages() -> tuple[float, float, float]:
    """Give the length of the run queue over 1, 5 and 15 minutes."""
    try:
        return os.getloadavg()
    except OSError as error:
        raise NotMeasured(f"no load average: {error}") from None


def memory() -> tuple[int, int]:
    """Give (total, available) bytes of memory."""
    try:
        lines = (_PROC / "meminfo").read_text().splitlines()
    except OSError:
        return _memory_of_macos()
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return kilobytes["MemTotal"] * 1024, kilobytes["MemAvailable"] * 1024


def disk(path: str) -> tuple[int, int, float]:
    """Give (total bytes, bytes free to this user, percent used as `df` counts it) of the file system of a path."""
    try:
        found = os.statvfs(path)
    except OSError as error:
        raise NotMeasured(f"no file system at {path}: {error.strerror}") from None
    used = found.f_blocks - found.f_bfree
    percent = 100 * used / max(1, used + found.f_bavail)
    return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize, round(percent, 1)


def processes() -> list[Process]:
    """Give every process that can be seen, by its own name: arguments may hold secrets."""
    before = _ticks_and_pages()
    if not before:
        return _processes_of_ps()
    start = time.monotonic()
    time.sleep(_PAUSE_SECONDS)
    after, seconds = _ticks_and_pages(), time.monotonic() - start
    per_tick, page = 100 / (os.sysconf("SC_CLK_TCK") * seconds), os.sysconf("SC_PAGE_SIZE")
    return [
        Process(pid, command, pages * page, round(max(0, ticks - before[pid][1]) * per_tick, 1))
        for pid, (command, ticks, pages) in after.items()
        if pid in before
    ]


def _ticks_and_pages() -> dict[int, tuple[str, int, int]]:
    found: dict[int, tuple[str, int, int]] = {}
    for name in os.listdir(_PROC) if _PROC.exists() else ():  # noqa: PTH208 - thousands of names; plain text is faster
        if name.isdigit():
            try:
                text = Path(f"/proc/{name}/stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue  # it has ended since
            front, _, back = text.rpartition(")")  # the name may hold spaces and brackets
            fields = back.split()
            found[int(name)] = (front.partition("(")[2], int(fields[11]) + int(fields[12]), int(fields[21]))
    return found


def _processes_of_ps() -> list[Process]:
    rows = (line.split(None, 3) for line in _run("ps", "-axo", "pid=,rss=,pcpu=,comm=").splitlines())
    return [
        Process(int(row[0]), row[3].rpartition("/")[2], int(row[1]) * 1024, float(row[2].replace(",", ".")))
        for row in rows
        if len(row) == 4
    ]


def _memory_of_macos() -> tuple[int, int]:
    total, pages = int(_run("sysctl", "-n", "hw.memsize")), _run("vm_stat")
    size = re.search(r"page size of (\d+) bytes", pages)
    free = sum(int(count) for count in re.findall(r"Pages (?:free|inactive|speculative):\s+(\d+)", pages))
    if size is None:
        raise NotMeasured("vm_stat does not say the size of a page")
    return total, free * int(size[1])


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, check=True, text=True, timeout=5).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise NotMeasured(f"neither /proc nor `{command[0]}`: {error}") from None
