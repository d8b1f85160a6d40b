"""Pages of lists: how many items, where the next one begins, and how much fits into one message.

A cursor names the last item that was shown by what the list is ordered by, so that it stays right while items come
and go.
"""

from __future__ import annotations

import re

from station.contracts.subjects import is_token
from station.runtime.bus import Bus
from station.scheduler.handlers import refusals
from station.scheduler.store.reader import Row

_MOST_BYTES = 4 * 1024 * 1024
_ENVELOPE_BYTES = 64 * 1024
_WORKFLOW_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def number(cursor: str | None, default: int) -> int:
    """Read a cursor that is a number."""
    if cursor is None:
        return default
    return _digits(cursor, cursor)


def pair(cursor: str | None) -> tuple[int, int]:
    """Read a cursor of two numbers; (0, 0) without one."""
    if cursor is None:
        return 0, 0
    first, _, second = cursor.partition(".")
    return _digits(first, cursor), _digits(second, cursor)


def moment_and_id(cursor: str) -> tuple[int, str]:
    """Read a cursor of a moment and an id."""
    moment, _, identity = cursor.partition(".")
    return _digits(moment, cursor), token(identity, cursor)


def token(identity: str, cursor: str | None = None) -> str:
    """Read a cursor that is an id."""
    if not is_token(identity):
        raise refusals.bad_cursor(identity if cursor is None else cursor)
    return identity


def workflow_id(cursor: str | None) -> str:
    """Read a cursor that is a workflow's id; without one the empty text, before which there is nothing."""
    if cursor is not None and _WORKFLOW_ID.fullmatch(cursor) is None:
        raise refusals.bad_cursor(cursor)
    return cursor or ""


def fitting(rows: list[Row], columns: tuple[int, ...], bus: Bus) -> list[Row]:
    """Cut a page before it outgrows one message; the first row always goes. ``columns`` are those that may be large."""
    room = min(_MOST_BYTES, bus.nc.max_payload - _ENVELOPE_BYTES)
    for index, row in enumerate(rows):
        room -= _ROW_BYTES + sum(_size(row[column]) for column in columns)
        if room < 0 and index:
            return rows[:index]
    return rows


_ROW_BYTES = 256


def _size(value: str | None) -> int:
    if value is None:
        return 0
    return len(value) if value.isascii() else len(value.encode())


def _digits(text: str, cursor: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise refusals.bad_cursor(cursor)
    return int(text)
