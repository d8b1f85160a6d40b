"""Live events for many streams: per run one set of subscriptions in this process, and any number of listeners.

What core NATS drops is noticed by the next event's seq or, when none comes, by a query every two idle seconds.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Any

import msgspec

from station.contracts import subjects
from station.gateway.clients import StillUnavailable
from station.gateway.link import Link
from station.gateway.listener import Listener, LiveEvent, live_event, speech
from station.gateway.metrics import STREAMS
from station.runtime.errors import Refused, Unavailable
from station.runtime.logging import get_logger
from station.runtime.rpc import refuse

log = get_logger("gateway.feed")
IDLE_SECONDS = 2.0

History = Callable[[str, int], AsyncIterator[LiveEvent]]
"""``(run id, after)``: the events with a larger seq, in order, by query."""


class EventHub:
    """Hands out listeners, at most ``max_streams`` at a time."""

    def __init__(self, link: Link, history: History, *, max_streams: int) -> None:
        self._link = link
        self._history = history
        self._max_streams = max_streams
        self._feeds: dict[str, _RunFeed] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = 0
        self._stopped = False

    async def join(self, run_id: str, *, hears_agents: bool = False) -> Listener:
        """Listen to a run; what the scheduler commits from here on is heard, and agents too. Leave with `leave`.

        Raises:
            Refused: 503, too many streams are open or the gateway stops.
        """
        if self._stopped or self._open >= self._max_streams:
            why = "The gateway stops." if self._stopped else f"{self._max_streams} streams are open, the most allowed."
            raise refuse(503, "too_many_streams", f"{why} Try again, or read the events from the list.")
        feed = self._feeds.get(run_id)
        if feed is None:
            feed = self._feeds[run_id] = _RunFeed(self._link, run_id, self._history)
        listener = Listener(hears_agents=hears_agents)
        feed.listeners.add(listener)
        self._count(1)
        try:
            await asyncio.shield(feed.opened)
        except BaseException:
            self.leave(run_id, listener)
            raise
        return listener

    def leave(self, run_id: str, listener: Listener) -> None:
        """Stop listening. Not a coroutine, because it must also work in a task that is being cancelled."""
        feed = self._feeds[run_id]
        feed.listeners.discard(listener)
        self._count(-1)
        if not feed.listeners:
            del self._feeds[run_id]
            task = asyncio.create_task(feed.close())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def known(self, run_id: str, seq: int) -> None:
        """A listener has learned that the run is at ``seq``: the idle query starts from there."""
        feed = self._feeds[run_id]
        feed.seen = max(feed.seen, seq)

    def stop(self) -> None:
        """End every stream, so that a shutdown does not wait for clients."""
        self._stopped = True
        for feed in self._feeds.values():
            for listener in feed.listeners:
                listener.close()

    def _count(self, change: int) -> None:
        self._open += change
        STREAMS.set(self._open)


class _RunFeed:
    """The subscriptions of one run, and who listens."""

    def __init__(self, link: Link, run_id: str, history: History) -> None:
        self.listeners: set[Listener] = set()
        self.seen = 0
        self._link = link
        self._run_id = run_id
        self._history = history
        self._heard = monotonic()
        self._subscriptions: list[Any] = []
        self.opened = asyncio.create_task(self._subscribe())
        self._checking = asyncio.create_task(self._check())

    async def close(self) -> None:
        self._checking.cancel()
        await asyncio.wait([self.opened])
        for subscription in self._subscriptions:
            await subscription.unsubscribe()

    async def _subscribe(self) -> None:
        wanted = [(subject, self._arrived) for subject in subjects.events_of(self._run_id)]
        for subject, callback in [*wanted, (subjects.progress(self._run_id), self._said)]:
            subscribing = self._link.bus.nc.subscribe(subject, cb=callback)  # pyright: ignore[reportUnknownMemberType]
            self._subscriptions.append(await subscribing)

    async def _arrived(self, message: Any) -> None:
        self._heard = monotonic()
        try:
            self._tell(live_event(message.data))
        except msgspec.DecodeError as error:
            log.warning("event_undecodable", subject=message.subject, error=str(error))

    async def _said(self, message: Any) -> None:
        try:
            said = speech(message.data)
        except msgspec.DecodeError as error:
            log.warning("progress_undecodable", subject=message.subject, error=str(error))
            return
        for listener in self.listeners:
            listener.say(said)

    def _tell(self, event: LiveEvent) -> None:
        self.seen = max(self.seen, event.seq)
        for listener in self.listeners:
            listener.offer(event)

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(IDLE_SECONDS)
            if self.seen and monotonic() - self._heard >= IDLE_SECONDS:
                await self._look()

    async def _look(self) -> None:
        try:
            async for event in self._history(self._run_id, self.seen):
                self._tell(event)
        except (Refused, StillUnavailable, Unavailable) as error:
            log.info("stream_check_failed", run_id=self._run_id, error=str(error))
