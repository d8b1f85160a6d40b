"""The agents host-cpu, host-memory, host-disk and host-processes: `measure.py cpu|memory|disk|processes`."""

import os
import sys
from collections.abc import Callable
from typing import Any

import machine
from agent_io import answer, fail, read_request, variables_of

_SHOWN = 5
_GIB = 1024**3


def main() -> None:
    """Answer with one measure, or fail so that the workflow's `onError` says "not measured"."""
    measure = MEASURES[sys.argv[1]]
    variables = variables_of(read_request())
    try:
        answer({"measured": True, **measure(variables)})
    except machine.NotMeasured as reason:
        fail(f"not measured: {reason}")


def _cpu(variables: dict[str, Any]) -> dict[str, Any]:
    cores, averages = machine.cores(), machine.load_averages()
    per_core = round(averages[0] / cores, 2)
    return {
        "text": f"load {per_core} per core",
        "host": os.uname().nodename,
        "cores": cores,
        "load": [round(average, 2) for average in averages],
        "loadPerCore": per_core,
    }


def _memory(variables: dict[str, Any]) -> dict[str, Any]:
    total, available = machine.memory()
    percent = round(100 * (total - available) / total, 1)
    return {
        "text": f"memory {percent} % used",
        "totalBytes": total,
        "availableBytes": available,
        "usedPercent": percent,
    }


def _disk(variables: dict[str, Any]) -> dict[str, Any]:
    path = variables.get("path", "/")
    total, available, percent = machine.disk(path)
    text = f"disk {path} {percent} % used, {available / _GIB:.1f} GiB free"
    return {"text": text, "path": path, "totalBytes": total, "availableBytes": available, "usedPercent": percent}


def _processes(variables: dict[str, Any]) -> dict[str, Any]:
    found, (total, _) = machine.processes(), machine.memory()
    by_memory = sorted(found, key=lambda process: process.rss_bytes, reverse=True)[:_SHOWN]
    by_cpu = sorted(found, key=lambda process: process.cpu_percent, reverse=True)[:_SHOWN]
    if not by_memory:
        raise machine.NotMeasured("no process can be seen")
    percent = round(100 * by_memory[0].rss_bytes / total, 1)
    return {
        "text": f"largest process {by_memory[0].command} with {percent} % of memory",
        "count": len(found),
        "largestPercent": percent,
        "byMemory": [_shown(process) for process in by_memory],
        "byCpu": [_shown(process) for process in by_cpu],
    }


def _shown(process: machine.Process) -> dict[str, Any]:
    return {
        "pid": process.pid,
        "command": process.command,
        "rssBytes": process.rss_bytes,
        "cpuPercent": process.cpu_percent,
    }


MEASURES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "cpu": _cpu,
    "disk": _disk,
    "memory": _memory,
    "processes": _processes,
}

if __name__ == "__main__":
    main()
