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
from collections.abc import Callable, Sequence

import msgspec
from nats import errors as nats_errors
from nats.aio.msg import Msg

from station.contracts import subjects
from station.runtime import metrics, telemetry
from station.runtime.bus import Bus
from station.runtime.logging import get_logger
from station.scheduler.engine import statements as sql
from station.scheduler.engine.chain import StoredEvent
from station.scheduler.engine.engine import Move
from station.scheduler.engine.loading import EVENT_COLUMNS
from station.scheduler.engine.publishing import publish_events, publish_task
from station.scheduler.engine.record import Outgoing, TaskMessage
from station.scheduler.store.reader import Reader, Row
from station.scheduler.store.writer import Unit, Writer

log = get_logger("relay")

_TURNS_TOGETHER = 64
_MAX_FLYING = 32
_RESEND_MS = 3_000
_LOOK_SECONDS = 0.5
_PAUSE_SECONDS = 0.05
_ALREADY_THERE = b"10077"

DEPTH = metrics.gauge("outbox_depth", "Turns that the broker does not have yet.")
AGE = metrics.gauge("outbox_age_seconds", "Age of the oldest of them.")
SENT = metrics.counter("relay_messages_total", "Messages sent to the broker.", ["kind"])
RESENT = metrics.counter("relay_resent_total", "Turns sent again because an acknowledgement did not come.")
_SENT_EVENTS, _SENT_TASKS = SENT.labels("event"), SENT.labels("task")

_OUTBOX = "SELECT id, run_id, first_seq, last_seq, messages, created_at FROM outbox ORDER BY id"
_EVENTS = f"SELECT {EVENT_COLUMNS} FROM workflow_run_events WHERE run_id = ? AND seq BETWEEN ? AND ? ORDER BY seq"  # noqa: S608 - our own names
_TRACE = "SELECT json_extract(data, '$.traceparent') FROM workflow_run_events WHERE run_id = ? AND seq = 1"

_tasks = msgspec.msgpack.Decoder(list[TaskMessage])


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
        return len(self._queue) + sum(len(flight.turns) for flight in self._flying.values())

    async def load(self, reader: Reader) -> None:
        """Take up what an earlier scheduler had not sent."""
        for identity, run_id, first, final, body, created_at in await reader.rows(_OUTBOX):
            events = [_stored(event) for event in await reader.rows(_EVENTS, (run_id, first, final))]
            trace = await reader.row(_TRACE, (run_id,))
            outgoing = Outgoing(
                id=identity,
                run_id=run_id,
                events=events,
                tasks=_tasks.decode(body),
                trace_id=telemetry.trace_id_of(run_id, trace[0] if trace else None),
                created_at=created_at,
            )
            self._queue.append(outgoing)

    def committed(self, move: Move) -> None:
        """Send a turn that has just been stored."""
        if move.outgoing.events or move.outgoing.tasks:
            self.send(move.outgoing)

    def send(self, outgoing: Outgoing) -> None:
        """Queue a turn; one with the id 0 is in no outbox (a task that is handed out again)."""
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
            while self._may_launch():
                await self._launch(self._next_turns())
            self._resend_overdue()
            self._wake.clear()
            if not self._may_launch():
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
        tasks = [task for turn in turns for task in turn.tasks]
        with_events = [turn for turn in turns if turn.events]
        flight = _Flight(turns, bool(with_events) + bool(tasks), self._now())
        self._flying[number] = flight
        reply = f"{self._prefix}{number}"
        try:
            for turn in with_events:
                await publish_events(self._bus, turn, reply if turn is with_events[-1] else "")
            await self._publish_tasks(tasks, reply)
        except (nats_errors.Error, TimeoutError) as error:
            self._failed(number, str(error))
            return
        _SENT_EVENTS.inc(sum(len(turn.events) for turn in with_events))
        _SENT_TASKS.inc(len(tasks))

    async def _publish_tasks(self, tasks: Sequence[TaskMessage], reply: str) -> None:
        for task in tasks:
            if task.replaces:
                # The old message of that subject is one that a runner took along when it died; it would block this one.
                await self._bus.js.purge_stream(subjects.TASKS_STREAM, subject=task.subject)
            await publish_task(self._bus, task, reply if task is tasks[-1] else "")

    async def _acknowledged(self, message: Msg) -> None:
        number = int(message.subject[len(self._prefix) :])
        flight = self._flying.get(number)
        if flight is None:
            return
        data = message.data
        if message.headers is not None and message.headers.get("Status") == "503":
            self.on_missing_stream()
            self._failed(number, "no stream takes it")
        elif b'"error"' in data and _ALREADY_THERE not in data:
            self._failed(number, data.decode(errors="replace")[:200])
        else:
            flight.missing -= 1
            if flight.missing <= 0 and not flight.failed:
                del self._flying[number]
                self._forget(flight)

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
        """The connection broke: the last message of a flight may be sent with the next one, and those before it lost."""
        for flight in self._flying.values():
            flight.failed = True

    def _resend_distrusted(self) -> None:
        for number, flight in list(self._flying.items()):
            if flight.failed:
                self._again(number)

    def _resend_overdue(self) -> None:
        if not self._bus.connected:
            return
        now = self._now()
        for number, flight in list(self._flying.items()):
            if now - _RESEND_MS < flight.sent_at <= now:
                break  # in the order of sending: the rest is younger
            self._again(number)

    def _forget(self, flight: _Flight) -> None:
        self._done += [turn.id for turn in flight.turns if turn.id]
        if self._done and self._deleting is None:
            self._deleting = asyncio.create_task(self._delete_done())
        if self._queue:
            self._wake.set()

    async def _delete_done(self) -> None:
        """Delete acknowledged rows; those that come in while one deletion is on its way go with the next."""
        try:
            while self._done:
                done, self._done = self._done, []
                unit = Unit()
                unit.add(sql.DELETE_OUTBOX, (msgspec.json.encode(done).decode(),))
                try:
                    await self._writer.submit(unit)
                except Exception as error:  # noqa: BLE001 - the rows stay and are sent again by the next scheduler
                    log.warning("outbox_not_cleaned", error=str(error))
                    return
        finally:
            self._deleting = None

    def _age(self) -> float:
        oldest = [flight.turns[0].created_at for flight in itertools.islice(self._flying.values(), 1)]
        oldest += [outgoing.created_at for outgoing in itertools.islice(self._queue, 1)]
        return max(0.0, (self._now() - min(oldest)) / 1000) if oldest else 0.0


def _stored(row: Row) -> StoredEvent:
    run_id, seq, name, at, step_id, actor, data, value = row
    return StoredEvent(run_id, seq, name, at, step_id, actor, data.encode(), value)
