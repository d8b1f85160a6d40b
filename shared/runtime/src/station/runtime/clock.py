"""The clock of the shells. Inside, a moment is an integer: milliseconds since 1970, UTC. Text is for the HTTP edge."""

import time
from datetime import UTC, datetime, timedelta

from station.core.instants import to_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def to_rfc3339(ms: int) -> str:
    """``2026-01-31T08:00:00.123Z``."""
    return to_text(ms)


def from_rfc3339(text: str) -> int:
    """Milliseconds since 1970, UTC. Raises ValueError for text without a time zone, or that is no moment."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write it as 2026-01-31T08:00:00.000Z")
    return (moment - _EPOCH) // _MILLISECOND
