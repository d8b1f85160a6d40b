"""Live events and one stream's ear on them: a bounded queue that remembers when it had to drop something."""

import asyncio
from typing import Final

import msgspec

_BACKLOG = 2000


class LiveEvent(msgspec.Struct, frozen=True, gc=False):
    """One event: what is needed to place it, and its JSON as it came."""

    seq: int
    type: str
    raw: bytes = b""


class StreamClosed(Exception):
    """The gateway stops; clients come back with their Last-Event-ID."""


_head: Final = msgspec.json.Decoder(LiveEvent)


def live_event(raw: bytes) -> LiveEvent:
    """The event in these bytes. Raises msgspec.DecodeError."""
    head = _head.decode(raw)
    return LiveEvent(head.seq, head.type, raw)


class Listener:
    """The events of one run as they come: perhaps out of order, twice, or with holes."""

    def __init__(self) -> None:
        self.lost = False
        """Whether the queue overflowed since this was last reset."""
        self._queue: asyncio.Queue[LiveEvent | None] = asyncio.Queue(_BACKLOG)

    def offer(self, event: LiveEvent) -> None:
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self.lost = True

    def close(self) -> None:
        """End the stream, whatever is still queued: a client that comes back resumes."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def next(self, seconds: float) -> LiveEvent | None:
        """The next event, or None after so many quiet seconds. Raises StreamClosed when the gateway stops."""
        try:
            event = self._queue.get_nowait() if not self._queue.empty() else await self._wait(seconds)
        except TimeoutError:
            return None
        if event is None:
            raise StreamClosed
        return event

    async def _wait(self, seconds: float) -> LiveEvent | None:
        async with asyncio.timeout(seconds):
            return await self._queue.get()
