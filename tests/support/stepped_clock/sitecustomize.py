"""Shifts the wall clock of whatever Python this folder is put on the path of, by what a file says.

Only what the services read the wall clock with is shifted, ``time.time`` and ``time.time_ns``: a clock that is set
leaves the monotonic one alone. The file holds seconds; it is replaced as a whole, so a reader sees the old or the new.
"""

import os
import time

_real = time.time_ns
_file = os.environ["TEST_WALL_CLOCK"]


def _time_ns() -> int:
    with open(_file, encoding="ascii") as file:  # noqa: PTH123 - at the start of every interpreter
        return _real() + int(file.read()) * 1_000_000_000


def _time() -> float:
    return _time_ns() / 1e9


time.time_ns, time.time = _time_ns, _time
