"""Ids that sort by the time they were made: a prefix and a ULID in lower case (48 bits of time, 80 of chance)."""

import os
import threading

from station.runtime.clock import now_ms

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_RANDOM_BITS = 80
_lock = threading.Lock()
_last = 0


def new_id(prefix: str) -> str:
    """``prefix_`` and 26 characters of ``[0-9a-z]``; later ids of one process are larger, also within a millisecond."""
    global _last  # noqa: PLW0603 - the last number made is what keeps the order
    with _lock:
        number = (now_ms() << _RANDOM_BITS) | int.from_bytes(os.urandom(10))
        if number <= _last:
            number = _last + 1
        _last = number
    return prefix + "_" + "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])
