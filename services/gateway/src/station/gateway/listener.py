"""Live events, what agents say meanwhile, and one stream's ear on both: bounded, and it knows when it lost an event."""

import asyncio
from typing import Final

import msgspec

from station.gateway.metrics import PROGRESS_DROPPED

_BACKLOG = 2000
_SPEECH_BACKLOG = 200
"""Of a reader that is too slow for more: what agents say is dropped, events are not."""


class LiveEvent(msgspec.Struct, frozen=True, gc=False):
    """One event: what is needed to place it, and its JSON as it came."""

    seq: int
    type: str
    raw: bytes = b""


class Speech(msgspec.Struct, frozen=True, gc=False):
    """Something that an agent said, as JSON. It has no place among the events, and is told once or never."""

    raw: bytes


class StreamClosed(Exception):
    """The gateway stops; clients come back with their Last-Event-ID."""


_head: Final = msgspec.json.Decoder(LiveEvent)
_any: Final = msgspec.json.Decoder(msgspec.Raw)


def live_event(raw: bytes) -> LiveEvent:
    """The event in these bytes. Raises msgspec.DecodeError."""
    head = _head.decode(raw)
    return LiveEvent(head.seq, head.type, raw)


def speech(raw: bytes) -> Speech:
    """What is in these bytes, which must be JSON in one line. Raises msgspec.DecodeError."""
    if b"\n" in raw or b"\r" in raw:
        raise msgspec.DecodeError("it has several lines")
    _any.decode(raw)
    return Speech(raw)


class Listener:
    """The events of one run as they come: perhaps out of order, twice, or with holes."""

    def __init__(self, *, hears_agents: bool = True) -> None:
        self.lost = False
        """Whether an event found no room since this was last reset."""
        self._hears_agents = hears_agents
        self._speeches = 0
        self._events = 0
        self._queue: asyncio.Queue[LiveEvent | Speech | None] = asyncio.Queue()
        """One queue for both, so that they come in the order in which they arrived."""

    def offer(self, event: LiveEvent) -> None:
        if self._events >= _BACKLOG:
            self.lost = True
            return
        self._events += 1
        self._queue.put_nowait(event)

    def say(self, said: Speech) -> None:
        """Pass on what an agent said, if this one wants it and keeps up."""
        if not self._hears_agents:
            return
        if self._speeches >= _SPEECH_BACKLOG:
            PROGRESS_DROPPED.inc()
            return
        self._speeches += 1
        self._queue.put_nowait(said)

    def close(self) -> None:
        """End the stream, whatever is still queued: a client that comes back resumes."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def next(self, seconds: float) -> LiveEvent | Speech | None:
        """The next event or speech, None after so many quiet seconds. Raises StreamClosed when the gateway stops."""
        try:
            found = self._queue.get_nowait() if not self._queue.empty() else await self._wait(seconds)
        except TimeoutError:
            return None
        if found is None:
            raise StreamClosed
        if isinstance(found, Speech):
            self._speeches -= 1
        else:
            self._events -= 1
        return found

    async def _wait(self, seconds: float) -> LiveEvent | Speech | None:
        async with asyncio.timeout(seconds):
            return await self._queue.get()
