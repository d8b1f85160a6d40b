"""The relay: what has been committed goes to the broker, pipelined, and leaves the outbox once the broker has it.

Turns fly together. A stream takes what one connection sends in the order in which it is sent, so the last event and
the last task of a flight ask for an acknowledgement, and theirs is that of all before. It is at least once: a flight
without its acknowledgements is sent again, with the same identities. A task that is lost all the same is missed by
reconcile; of events the database is the record.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable

import msgspec
from nats import errors as nats_errors
from nats.aio.msg import Msg

from station.contracts import subjects
from station.runtime import metrics
from station.runtime.bus import Bus
from station.runtime.failpoints import hit
from station.runtime.logging import get_logger
from station.scheduler.engine import statements as sql
from station.scheduler.engine.backlog import Backlog
from station.scheduler.engine.bus_store import BusStore
from station.scheduler.engine.engine import Move
from station.scheduler.engine.publishing import Message, event_messages, publish, task_message
from station.scheduler.engine.record import Outgoing
from station.scheduler.store.reader import Reader
from station.scheduler.store.writer import Unit, Writer

log = get_logger("relay")

_TURNS_TOGETHER = 64
_MAX_FLYING = 32
_RESEND_MS = 3_000
_LOOK_SECONDS = 0.5
_PAUSE_SECONDS = 0.05
_MAX_QUEUED = 8_192
_HEADER_BYTES = 1024
_ALREADY_THERE = (b"10077", b"maximum messages per subject")
"""The number alone says no more than that the stream did not take it, such as for want of disk."""

DEPTH = metrics.gauge("outbox_depth", "Turns that the broker does not have yet.")
AGE = metrics.gauge("outbox_age_seconds", "Age of the oldest of them.")
SENT = metrics.counter("relay_messages_total", "Messages sent to the broker.", ["kind"])
RESENT = metrics.counter("relay_resent_total", "Turns sent again because an acknowledgement did not come.")
OVERSIZED = metrics.counter("relay_oversized_total", "Messages larger than the broker takes: not sent.", ["kind"])
_SENT_EVENTS, _SENT_TASKS = SENT.labels("event"), SENT.labels("task")


class _Flight(msgspec.Struct):
    """Turns that were sent together."""

    turns: list[Outgoing]
    missing: int
    """Acknowledgements that have not come."""
    sent_at: int
    failed: bool = False


class Relay:
    """Sends what turns have put into the outbox."""

    def __init__(self, bus: Bus, writer: Writer, now: Callable[[], int]) -> None:
        self._bus = bus
        self._writer = writer
        self._now = now
        self._queue: deque[Outgoing] = deque()
        self._backlog = Backlog()
        self.store = BusStore(bus)
        self._flying: dict[int, _Flight] = {}
        self._numbers = itertools.count(1)
        self._wake = asyncio.Event()
        self._prefix = ""
        self._done: list[int] = []
        self._deleting: asyncio.Task[None] | None = None
        self.on_missing_stream: Callable[[], None] = lambda: None
        DEPTH.set_function(lambda: self.depth)
        AGE.set_function(self._age)

    @property
    def depth(self) -> int:
        """How many turns the broker does not have yet."""
        return self._backlog.depth + len(self._queue) + sum(len(flight.turns) for flight in self._flying.values())

    async def load(self, reader: Reader) -> None:
        """Take up what an earlier scheduler had not sent."""
        await self._backlog.load(reader)

    def committed(self, move: Move) -> None:
        """Send a turn that has just been stored."""
        if move.outgoing.events or move.outgoing.tasks:
            self.send(move.outgoing)

    def send(self, outgoing: Outgoing) -> None:
        """Queue a turn; one with the id 0 is in no outbox (a task that is handed out again)."""
        if outgoing.id:
            crowded = self._backlog.waiting or len(self._queue) >= _MAX_QUEUED
            if crowded and self._backlog.leave(outgoing.id, outgoing.created_at):
                return
            if not crowded:
                self._backlog.skip(outgoing.id)
        self._queue.append(outgoing)
        self._wake.set()

    async def run(self) -> None:
        """Send for ever."""
        self._prefix = self._bus.nc.new_inbox() + "."
        await self._bus.nc.subscribe(self._prefix + "*", cb=self._acknowledged)  # pyright: ignore[reportUnknownMemberType]
        self._bus.on_disconnect(self._distrust_flying)
        self._bus.on_reconnect(self._resend_distrusted)
        loop = asyncio.get_running_loop()
        while True:
            if self._backlog.waiting and len(self._queue) < _MAX_QUEUED // 2 and self._bus.connected:
                self._queue.extend(await self._backlog.page())
            while self._may_launch():
                await self._launch(self._next_turns())
            self._resend_overdue()
            self._wake.clear()
            if not self._may_launch() and not (self._backlog.waiting and not self._queue and self._bus.connected):
                look = loop.call_later(_LOOK_SECONDS, self._wake.set)
                await self._wake.wait()
                look.cancel()

    def _may_launch(self) -> bool:
        """Not while the broker is away: what the client buffers meanwhile would be sent twice."""
        return bool(self._queue) and len(self._flying) < _MAX_FLYING and self._bus.connected

    def _next_turns(self) -> list[Outgoing]:
        queue = self._queue
        return [queue.popleft() for _ in range(min(len(queue), _TURNS_TOGETHER))]

    async def _launch(self, turns: list[Outgoing]) -> None:
        number = next(self._numbers)
        limit = self._bus.nc.max_payload - _HEADER_BYTES
        events = _fitting([message for turn in turns for message in event_messages(turn)], limit, "event")
        tasks = _fitting([task_message(task) for turn in turns for task in turn.tasks], limit, "task")
        flight = _Flight(turns, bool(events) + bool(tasks), self._now())
        self._flying[number] = flight
        reply = f"{self._prefix}{number}"
        hit("scheduler.before-publish")
        try:
            for message in events:
                await publish(self._bus, message, reply if message is events[-1] else "")
            for message in tasks:
                if message.replaces:
                    # The old message of that subject is one that a runner took along when it died: it would block this.
                    hit("scheduler.before-purge")
                    await self._bus.js.purge_stream(subjects.TASKS_STREAM, subject=message.subject)
                    hit("scheduler.after-purge")
                await publish(self._bus, message, reply if message is tasks[-1] else "")
        except (nats_errors.Error, TimeoutError) as error:
            self._failed(number, str(error))
            return
        _SENT_EVENTS.inc(len(events))
        _SENT_TASKS.inc(len(tasks))
        if not events and not tasks:
            self._land(number)

    async def _acknowledged(self, message: Msg) -> None:
        number = int(message.subject[len(self._prefix) :])
        flight = self._flying.get(number)
        if flight is None:
            return
        data = message.data
        if message.headers is not None and message.headers.get("Status") == "503":
            self.on_missing_stream()
            self._failed(number, "no stream takes it")
        elif b'"error"' in data and not all(part in data for part in _ALREADY_THERE):
            self._failed(number, data.decode(errors="replace")[:200])
            self.store.ask()
        else:
            flight.missing -= 1
            if self.store.troubles:
                self.store.ask()
            if flight.missing <= 0 and not flight.failed:
                self._land(number)

    def _land(self, number: int) -> None:
        """The broker has all of a flight."""
        hit("scheduler.after-publish")
        flight = self._flying.pop(number)
        self._done += [turn.id for turn in flight.turns if turn.id]
        self._clean_up()
        if self._queue or self._backlog.waiting:
            self._wake.set()

    def _failed(self, number: int, why: str) -> None:
        flight = self._flying.get(number)
        if flight is not None and not flight.failed:
            flight.failed = True
            log.debug("relay_failed", turns=len(flight.turns), detail=why)
            asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self._again, number)

    def _again(self, number: int) -> None:
        flight = self._flying.pop(number, None)
        if flight is not None:
            RESENT.inc(len(flight.turns))
            self._queue.extendleft(reversed(flight.turns))
            self._wake.set()

    def _distrust_flying(self) -> None:
        """The connection broke: the last message of a flight may go out with the next one, and those before be lost."""
        for flight in self._flying.values():
            flight.failed = True

    def _resend_distrusted(self) -> None:
        for number, flight in list(self._flying.items()):
            if flight.failed:
                self._again(number)

    def _resend_overdue(self) -> None:
        self._clean_up()
        if not self._bus.connected:
            return
        now = self._now()
        for number, flight in list(self._flying.items()):
            if now - _RESEND_MS < flight.sent_at <= now:
                break  # in the order of sending: the rest is younger
            self.store.ask()
            self._again(number)

    def _clean_up(self) -> None:
        if self._done and self._deleting is None:
            self._deleting = asyncio.create_task(self._delete_done())

    async def _delete_done(self) -> None:
        """Delete acknowledged rows; those that come in while one deletion is on its way go with the next."""
        try:
            while self._done:
                done, self._done = self._done, []
                unit = Unit()
                unit.add(sql.DELETE_OUTBOX, (msgspec.json.encode(done).decode(),))
                hit("scheduler.before-outbox-delete")
                try:
                    await self._writer.submit(unit)
                    hit("scheduler.after-outbox-delete")
                except Exception as error:  # noqa: BLE001 - they stay and are deleted with the next that land
                    log.warning("outbox_not_cleaned", error=str(error))
                    self._done += done
                    return
        finally:
            self._deleting = None

    def _age(self) -> float:
        oldest = [flight.turns[0].created_at for flight in itertools.islice(self._flying.values(), 1)]
        oldest += [outgoing.created_at for outgoing in itertools.islice(self._queue, 1)]
        oldest += [self._backlog.since] if self._backlog.since is not None else []
        return max(0.0, (self._now() - min(oldest)) / 1000) if oldest else 0.0


def _fitting(messages: list[Message], limit: int, kind: str) -> list[Message]:
    """Leave out what the broker would not take: the record is the database, readers ask for what is missing."""
    if all(len(message.body) <= limit for message in messages):
        return messages
    for message in messages:
        if len(message.body) > limit:
            OVERSIZED.labels(kind).inc()
            log.error("message_too_large", subject=message.subject, bytes=len(message.body), limit=limit)
    return [message for message in messages if len(message.body) <= limit]
