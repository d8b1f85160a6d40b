"""Processes that stand still, as on a machine that is out of breath, and what processes count."""

import contextlib
import os
import signal
from collections.abc import Iterator

import httpx
import msgspec

from tests.support.system import System


@contextlib.contextmanager
def frozen(system: System, *names: str) -> Iterator[None]:
    """Stop these parts of a system, and let them go on at the end."""
    pids = [system.pids[name] for name in names]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def figure(system: System, service: str, name: str, *labels: str) -> float:
    """The sum of a metric of a service, over all series that have these labels (``outcome="set_aside"``)."""
    where = msgspec.json.decode((system.data_dir / "run" / f"{service}.json").read_bytes())["url"]
    lines = httpx.get(f"{where}/metrics").text.splitlines()
    found = [line for line in lines if line.split("{")[0].split()[0].endswith(name) and not line.startswith("#")]
    return sum(float(line.split()[-1]) for line in found if all(label in line for label in labels))
