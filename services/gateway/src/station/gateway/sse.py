"""The event stream of one run: a snapshot, then every event once, in order, without a hole, until the run has ended."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import msgspec

from station.contracts import subjects
from station.contracts.events import TERMINAL_EVENTS
from station.contracts.runs import GetRun, ListEvents
from station.contracts.statuses import RunStatus
from station.gateway.clients import RpcClient, StillUnavailable
from station.gateway.feed import EventHub, History
from station.gateway.listener import Listener, LiveEvent, StreamClosed, live_event
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

    async def open(self, run_id: str, after: int | None) -> AsyncGenerator[bytes]:
        """The frames of a run's stream; ``after`` is the client's Last-Event-ID. The first one is already there.

        Raises:
            Refused: 404 there is no such run; 503 too many streams.
            StillUnavailable: the scheduler does not answer.
        """
        if not subjects.is_token(run_id):
            raise refuse(404, "run_not_found", f"There is no run {run_id!r}.")
        frames = self._frames(run_id, after)
        try:
            first = await anext(frames)
        except BaseException:
            await frames.aclose()
            raise
        return _with_first(first, frames)

    async def _frames(self, run_id: str, after: int | None) -> AsyncGenerator[bytes]:
        listener = await self._hub.join(run_id)
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
                    if event is not None and event.type in TERMINAL_EVENTS:
                        return
        except StreamClosed:
            return
        finally:
            self._hub.leave(run_id, listener)

    async def _follow(
        self, run_id: str, listener: Listener, last: int, *, behind: bool
    ) -> AsyncGenerator[LiveEvent | None]:
        """Every event after ``last``; None after a quiet while. What is missing is asked for."""
        held: dict[int, LiveEvent] = {}
        while True:
            if behind or listener.lost:
                listener.lost = False
                try:
                    async for event in self._history(run_id, last):
                        last = event.seq
                        yield event
                    behind = False
                except StillUnavailable:
                    behind = True
                    yield None
                    continue
                held.clear()  # they were committed before the query, so it had them
            event = await listener.next(REORDER_SECONDS if held else PING_SECONDS)
            if event is not None and event.seq > last:
                held[event.seq] = event
            elif event is None and held:
                STREAM_GAPS.inc()
                behind = True
            elif event is None:
                yield None
            while (following := held.pop(last + 1, None)) is not None:
                last = following.seq
                yield following


async def _with_first(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(rest):
        yield first
        async for frame in rest:
            yield frame


def _snapshot(view: bytes, seq: int | None) -> bytes:
    """Without an id where the client resumes: its own Last-Event-ID must stand until the next event."""
    number = b"" if seq is None else b"id: %d\n" % seq
    return b"retry: 1000\n" + number + b"event: snapshot\ndata: " + view + b"\n\n"


def _frame(event: LiveEvent) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.type.encode(), event.raw)
