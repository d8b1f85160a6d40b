"""Instants as text. Inside, an instant is an integer: milliseconds since 1970 UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=1024)  # what is written down at one time is of the same few milliseconds
def to_text(instant: int) -> str:
    """Write an instant as RFC 3339 in UTC with milliseconds."""
    moment = _EPOCH + timedelta(milliseconds=instant)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def from_text(text: str) -> int:
    """Read an RFC 3339 instant; it must name its offset. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is not a time: write it as RFC 3339, such as 2026-01-31T08:00:00Z"
        raise ValueError(message) from None
    if moment.tzinfo is None:
        message = f"{text!r} has no offset: write Z or +hh:mm"
        raise ValueError(message)
    return (moment - _EPOCH) // timedelta(milliseconds=1)
