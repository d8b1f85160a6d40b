"""Processes that stand still: they hold their connections and do nothing, as on a machine that is out of breath."""

import contextlib
import os
import signal
from collections.abc import Iterator

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
