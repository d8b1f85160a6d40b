"""Answers to requests: one subscription, one future per request, and nobody waits for a connection that is gone."""

import asyncio
import itertools
from collections.abc import Collection

from nats.aio.client import Client
from nats.aio.msg import Msg

from station.contracts.headers import PART
from station.runtime.errors import Unavailable
from station.runtime.parts import Joining


class Replies:
    """The inbox of one connection. Answers nobody waits for any more are dropped."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._prefix = ""
        self._numbers = itertools.count()
        self._waiting: dict[str, tuple[str, asyncio.Future[Msg]]] = {}
        """Subject of the request and who waits, by where the answer goes."""
        self._joining: dict[str, Joining] = {}
        self._loop = asyncio.get_running_loop()

    async def open(self) -> None:
        self._prefix = self._client.new_inbox() + "."
        await self._client.subscribe(self._prefix + "*", cb=self._arrived)  # pyright: ignore[reportUnknownMemberType]

    async def request(self, subject: str, body: bytes, headers: dict[str, str] | None, timeout: float) -> Msg:
        """Send and wait. Raises Unavailable after ``timeout`` seconds, or when the connection breaks meanwhile."""
        reply_to = f"{self._prefix}{next(self._numbers)}"
        future: asyncio.Future[Msg] = self._loop.create_future()
        self._waiting[reply_to] = (subject, future)
        timer = self._loop.call_later(timeout, self._fail, future, subject, f"no answer within {timeout:g} s")
        try:
            await self._client.publish(subject, body, reply_to, headers)
            return await future
        finally:
            timer.cancel()
            del self._waiting[reply_to]
            self._joining.pop(reply_to, None)

    def disconnected(self) -> None:
        """The answers that are under way are lost with the connection: say so now, not at the timeout."""
        for subject, future in self._waiting.values():
            self._fail(future, subject, "the connection to the broker broke before the answer came")

    def started_anew(self, subjects: Collection[str]) -> None:
        """Whoever answers there has just started: what was asked of the process before is lost with it."""
        for subject, future in self._waiting.values():
            if subject in subjects:
                self._fail(future, subject, "the service was started anew before it answered")

    @staticmethod
    def _fail(future: asyncio.Future[Msg], subject: str, why: str) -> None:
        if not future.done():
            future.set_exception(Unavailable(f"{subject}: {why}."))

    async def _arrived(self, message: Msg) -> None:
        subject, future = self._waiting.get(message.subject, ("", None))
        if future is None or future.done():
            return
        place = message.headers.get(PART) if message.headers else None
        if place is not None:
            try:
                whole = self._joining.setdefault(message.subject, Joining()).add(place, message.data)
            except ValueError as error:
                self._fail(future, subject, f"the answer is not whole: {error}")
                return
            if whole is None:
                return
            message.data = whole
        future.set_result(message)
