"""The agent host-log-sample: adds a sample of the machine to the log that the workflow owns, and measures the log.

This is what makes the log grow, a kilobyte or so a run, until a person lets host-log-rotate take it away.
"""

import os
import time
from typing import Any

import machine
from agent_io import answer, fail, read_request
from work_dir import append_line, locked, log_file, work_dir

_PROCESSES = 20


def main() -> None:
    """Write the sample under the lock, so that it never lands in a log that is being rotated."""
    request = read_request()
    directory = work_dir()
    log = log_file(directory)
    sample = {"time": round(time.time(), 3), "host": os.uname().nodename, "run": request.get("runId"), **_sample()}
    try:
        with locked(directory):
            append_line(log, sample)
            size = log.stat().st_size
    except OSError as error:
        fail(f"cannot write to {log}: {error.strerror}")
    answer({"measured": True, "text": f"log {size} bytes", "path": str(log), "bytes": size})


def _sample() -> dict[str, Any]:
    try:
        found = sorted(machine.processes(), key=lambda process: process.rss_bytes, reverse=True)[:_PROCESSES]
        total, available = machine.memory()
    except machine.NotMeasured as reason:
        return {"notMeasured": str(reason)}
    return {
        "load": os.getloadavg(),
        "memory": {"totalBytes": total, "availableBytes": available},
        "processes": [process._asdict() for process in found],
    }


if __name__ == "__main__":
    main()
