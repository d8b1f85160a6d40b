"""Server-sent events as a client reads them."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec


class Frame(msgspec.Struct, frozen=True):
    """One server-sent event; a comment has neither event nor data."""

    id: str | None
    event: str | None
    data: Any


def until(deadline: float, lines: Iterator[str]) -> Iterator[str]:
    """The lines that come in time: a stream that only says that it lives is never silent for too long."""
    for line in lines:
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout("nothing that counts came in time")
        yield line


def frames_of(lines: Iterator[str]) -> Iterator[Frame]:
    """Server-sent events from the lines of a body."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "event" in fields:
                yield Frame(fields.get("id"), fields["event"], msgspec.json.decode(fields["data"]))
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
