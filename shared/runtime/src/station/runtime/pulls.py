"""Pull requests to one consumer of a stream.

The rule: every request is waited for up to its end, and what it brings is given out at once. What is there already is
asked for without waiting; only when there is nothing does one message get waited for, and what has come with it is
asked for again. So no message lies in a half-full batch until the batch runs out of time.
"""

import asyncio
import contextlib
import itertools
from collections import deque

import msgspec
from nats import errors as nats_errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from station.runtime.bus import Bus

__all__ = ["Pull", "PullRefused"]

_GRACE_SECONDS = 0.5
"""How much longer than the broker the client waits for the end of a request."""
_PROMPT_SECONDS = 2.0
"""How long what is there already may take to come."""
_OVER = frozenset({"404", "408"})
"""Nothing (more) is there; the time is over."""
_CONTROL = "100"


class PullRefused(nats_errors.Error):
    """The broker does not answer a request as asked: the consumer or the stream is gone, or too many are waiting."""


class _Request(msgspec.Struct, omit_defaults=True):
    batch: int
    no_wait: bool = False
    expires: int = 0
    """Nanoseconds."""


class Pull:
    """Asks one consumer for messages, one request at a time."""

    def __init__(self, bus: Bus, stream: str, consumer: str) -> None:
        self._bus = bus
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._subscription: Subscription | None = None
        self._prefix = ""
        self._numbers = itertools.count(1)
        self._arrived: deque[Msg] = deque()
        self._news = asyncio.Event()
        self._broken = False
        bus.on_disconnect(self._break_off)

    async def fetch(self, batch: int, timeout: float) -> list[Msg]:
        """Up to ``batch`` messages, as soon as there are any; empty after ``timeout`` seconds.

        Raises:
            PullRefused: the broker says no.
            nats.errors.Error: the request could not be sent.
        """
        if self._subscription is None:
            self._prefix = self._bus.nc.new_inbox() + "."
            self._subscription = await self._bus.nc.subscribe(self._prefix + "*", cb=self._take)  # pyright: ignore[reportUnknownMemberType]
        messages = await self._ask(_Request(batch=batch, no_wait=True), _PROMPT_SECONDS)
        if messages or self._broken:
            return messages
        first = await self._ask(_Request(batch=1, expires=round(timeout * 1e9)), timeout + _GRACE_SECONDS)
        if first and batch > len(first):
            with contextlib.suppress(nats_errors.Error):  # what has come must not be lost over what might come
                first += await self._ask(_Request(batch=batch - len(first), no_wait=True), _PROMPT_SECONDS)
        return first

    async def close(self) -> None:
        """Take nothing more; what was not given out comes again elsewhere."""
        subscription, self._subscription = self._subscription, None
        self._arrived.clear()
        if subscription is not None:
            with contextlib.suppress(nats_errors.Error, OSError):
                await subscription.unsubscribe()

    async def _ask(self, request: _Request, seconds: float) -> list[Msg]:
        self._broken = False
        reply = f"{self._prefix}{next(self._numbers)}"
        await self._bus.nc.publish(self._subject, msgspec.json.encode(request), reply)
        messages: list[Msg] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while len(messages) < request.batch and not self._broken:
                    if not self._arrived:
                        self._news.clear()
                        await self._news.wait()
                    elif self._ends(self._arrived.popleft(), reply, messages):
                        break
        return messages

    def _ends(self, message: Msg, reply: str, messages: list[Msg]) -> bool:
        """Take what has arrived; tell whether it was the end of the request."""
        status = message.headers.get("Status") if message.headers else None
        if status is None:
            messages.append(message)  # also what an earlier request brings late
            return False
        if message.subject != reply or status == _CONTROL:
            return False
        if status in _OVER or messages:
            return True
        raise PullRefused(f"{self._subject}: {status} {(message.headers or {}).get('Description', '')}".rstrip())

    async def _take(self, message: Msg) -> None:
        self._arrived.append(message)
        self._news.set()

    def _break_off(self) -> None:
        """The broker has forgotten what it was asked for."""
        self._broken = True
        self._news.set()
