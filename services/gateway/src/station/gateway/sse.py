"""The event stream of one run: a snapshot, then every event once, in order, without a hole, until the run has ended.

What agents say comes in between: without an id, as it arrives, if the reader keeps up.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from time import monotonic

import msgspec

from station.contracts import subjects
from station.contracts.events import TERMINAL_EVENTS
from station.contracts.runs import GetRun, ListEvents
from station.contracts.statuses import RunStatus
from station.gateway.clients import RpcClient, StillUnavailable
from station.gateway.feed import EventHub, History
from station.gateway.listener import Listener, LiveEvent, Speech, StreamClosed, live_event
from station.gateway.metrics import STREAM_GAPS
from station.runtime.rpc import refuse

PING_SECONDS = 15.0
REORDER_SECONDS = 0.05
"""How long a later event waits for the ones before it: the two subjects of a run may overtake each other."""
_PAGE = 200
_PING = b": ping\n\n"
_ENDED = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.TIMED_OUT})


class _Head(msgspec.Struct, rename="camel"):
    status: RunStatus
    last_seq: int


class _RawPage(msgspec.Struct, rename="camel"):
    items: list[msgspec.Raw]
    next_cursor: str | None


def history_of(scheduler: RpcClient) -> History:
    """The `History` that asks this scheduler."""

    async def history(run_id: str, after: int) -> AsyncIterator[LiveEvent]:
        while True:
            question = ListEvents(run_id=run_id, after=after, limit=_PAGE)
            page = msgspec.json.decode(await scheduler.query(subjects.QUERY_EVENTS, question), type=_RawPage)
            for item in page.items:
                event = live_event(bytes(item))
                after = event.seq
                yield event
            if page.next_cursor is None or not page.items:
                return

    return history


class EventStreams:
    """Opens the streams of this process."""

    def __init__(self, scheduler: RpcClient, hub: EventHub) -> None:
        self._scheduler = scheduler
        self._hub = hub
        self._history = history_of(scheduler)

    async def open(self, run_id: str, after: int | None, *, progress: bool = True) -> AsyncGenerator[bytes]:
        """The frames of a run's stream; ``after`` is the client's Last-Event-ID. The first one is already there.

        With ``progress`` what agents say is among them.

        Raises:
            Refused: 404 there is no such run; 503 too many streams.
            StillUnavailable: the scheduler does not answer.
        """
        if not subjects.is_token(run_id):
            raise refuse(404, "run_not_found", f"There is no run {run_id!r}.")
        frames = self._frames(run_id, after, progress=progress)
        try:
            first = await anext(frames)
        except BaseException:
            await frames.aclose()
            raise
        return _with_first(first, frames)

    async def _frames(self, run_id: str, after: int | None, *, progress: bool) -> AsyncGenerator[bytes]:
        listener = await self._hub.join(run_id, hears_agents=progress)
        try:
            view = await self._scheduler.query(subjects.QUERY_RUN, GetRun(run_id=run_id))
            head = msgspec.json.decode(view, type=_Head)
            self._hub.known(run_id, head.last_seq)
            yield _snapshot(view, head.last_seq if after is None else None)
            last = head.last_seq if after is None else min(after, head.last_seq)
            if head.status in _ENDED:
                async for event in self._history(run_id, last):
                    yield _frame(event)
                return
            async with aclosing(self._follow(run_id, listener, last, behind=last < head.last_seq)) as events:
                async for event in events:
                    yield _PING if event is None else _frame(event)
                    if isinstance(event, LiveEvent) and event.type in TERMINAL_EVENTS:
                        return
        except StreamClosed:
            return
        finally:
            self._hub.leave(run_id, listener)

    async def _follow(
        self, run_id: str, listener: Listener, last: int, *, behind: bool
    ) -> AsyncGenerator[LiveEvent | Speech | None]:
        """Every event after ``last``, and speeches; None after a quiet while. What is missing is asked for."""
        order = _Order(last)
        while True:
            if behind or listener.lost:
                listener.lost = False
                try:
                    async for event in self._history(run_id, order.last):
                        order.last = event.seq
                        yield event
                    behind = False
                except StillUnavailable:
                    behind = True
                    yield None
                    continue
                order.held.clear()  # they were committed before the query, so it had them
            event = await listener.next(order.patience())
            if isinstance(event, LiveEvent):
                order.hold(event)
            elif event is not None or not order.held:
                yield event
            if order.is_stuck(silent=event is None):
                STREAM_GAPS.inc()
                behind = True
            for following in order.take():
                yield following


class _Order:
    """Holds events that came too early until those before them are there."""

    def __init__(self, last: int) -> None:
        self.last = last
        """The seq of the event that was given last."""
        self.held: dict[int, LiveEvent] = {}
        self._until = 0.0

    def hold(self, event: LiveEvent) -> None:
        if event.seq > self.last:
            if not self.held:
                self._until = monotonic() + REORDER_SECONDS
            self.held[event.seq] = event

    def take(self) -> Iterator[LiveEvent]:
        """The events whose turn it is."""
        while (following := self.held.pop(self.last + 1, None)) is not None:
            self.last = following.seq
            self._until = monotonic() + REORDER_SECONDS
            yield following

    def patience(self) -> float:
        """How many seconds what comes next may take. What agents say does not prolong the wait for an event."""
        return max(self._until - monotonic(), 0) if self.held else PING_SECONDS

    def is_stuck(self, *, silent: bool) -> bool:
        """Whether what is held has waited long enough; ``silent``: nothing at all has come."""
        return bool(self.held) and (self.last + 1) not in self.held and (silent or monotonic() >= self._until)


async def _with_first(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(rest):
        yield first
        async for frame in rest:
            yield frame


def _snapshot(view: bytes, seq: int | None) -> bytes:
    """Without an id where the client resumes: its own Last-Event-ID must stand until the next event."""
    number = b"" if seq is None else b"id: %d\n" % seq
    return b"retry: 1000\n" + number + b"event: snapshot\ndata: " + view + b"\n\n"


def _frame(event: LiveEvent | Speech) -> bytes:
    if isinstance(event, Speech):
        return b"event: agent_progress\ndata: %s\n\n" % event.raw
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.type.encode(), event.raw)
