"""The relay: what has been committed goes to the broker, pipelined, and leaves the outbox once the broker has it.

It is at least once: a message whose acknowledgement is lost is sent again, with the same identity. Readers tell
events apart by ``(run_id, seq)``; the stream of tasks takes one message per subject.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Callable

import msgspec
from nats import errors as nats_errors
from nats.aio.msg import Msg

from station.contracts import headers, subjects
from station.runtime import metrics, telemetry
from station.runtime.bus import Bus
from station.runtime.clock import to_rfc3339
from station.runtime.logging import get_logger
from station.scheduler.engine import statements as sql
from station.scheduler.engine.chain import StoredEvent
from station.scheduler.engine.engine import Move
from station.scheduler.engine.loading import EVENT_COLUMNS
from station.scheduler.engine.record import Outgoing, TaskMessage
from station.scheduler.store.reader import Reader, Row
from station.scheduler.store.writer import Unit, Writer

log = get_logger("relay")

_MAX_FLYING = 512
_RESEND_MS = 3_000
_PAUSE_SECONDS = 0.05
_ALREADY_THERE = b"10077"

DEPTH = metrics.gauge("outbox_depth", "Turns that the broker does not have yet.")
AGE = metrics.gauge("outbox_age_seconds", "Age of the oldest of them.")
SENT = metrics.counter("relay_messages_total", "Messages sent to the broker.", ["kind"])
RESENT = metrics.counter("relay_resent_total", "Turns sent again because an acknowledgement did not come.")

_OUTBOX = "SELECT id, run_id, first_seq, last_seq, messages, created_at FROM outbox ORDER BY id"
_EVENTS = f"SELECT {EVENT_COLUMNS} FROM workflow_run_events WHERE run_id = ? AND seq BETWEEN ? AND ? ORDER BY seq"  # noqa: S608 - our own names
_TRACE = "SELECT json_extract(data, '$.traceparent') FROM workflow_run_events WHERE run_id = ? AND seq = 1"

_encode = msgspec.json.Encoder().encode
_tasks = msgspec.msgpack.Decoder(list[TaskMessage])


class _Published(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    run_id: str
    seq: int
    type: str
    at: str
    step_id: str | None
    actor: str
    data: msgspec.Raw
    hash: str


class _Flight(msgspec.Struct):
    outgoing: Outgoing
    missing: int
    sent_at: int
    failed: bool = False


def _stored(row: Row) -> StoredEvent:
    run_id, seq, name, at, step_id, actor, data, value = row
    return StoredEvent(run_id, seq, name, at, step_id, actor, data.encode(), value)


class Relay:
    """Sends what turns have put into the outbox."""

    def __init__(self, bus: Bus, writer: Writer, now: Callable[[], int]) -> None:
        self._bus = bus
        self._writer = writer
        self._now = now
        self._queue: deque[Outgoing] = deque()
        self._flying: dict[int, _Flight] = {}
        self._unstored = itertools.count(-1, -1)
        self._wake = asyncio.Event()
        self._prefix = ""
        self._done: list[int] = []
        self._deleting: asyncio.Task[None] | None = None
        self._replacing: set[asyncio.Task[None]] = set()
        self.on_missing_stream: Callable[[], None] = lambda: None
        DEPTH.set_function(lambda: self.depth)
        AGE.set_function(self._age)

    @property
    def depth(self) -> int:
        """How many turns the broker does not have yet."""
        return len(self._queue) + len(self._flying)

    async def load(self, reader: Reader) -> int:
        """Take up what an earlier scheduler had not sent; give the largest id seen."""
        last = 0
        for row in await reader.rows(_OUTBOX):
            identity, run_id, first, final, body, created_at = row
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
            last = identity
        return last

    def committed(self, move: Move) -> None:
        """Send a turn that has just been stored."""
        if move.outgoing.events or move.outgoing.tasks:
            self.send(move.outgoing)

    def send(self, outgoing: Outgoing) -> None:
        """Queue a turn; one without an id is in no outbox (a task that is handed out again)."""
        if outgoing.id == 0:
            outgoing.id = next(self._unstored)
        self._queue.append(outgoing)
        self._wake.set()

    async def run(self) -> None:
        """Send for ever."""
        self._prefix = self._bus.nc.new_inbox() + "."
        await self._bus.nc.subscribe(self._prefix + "*", cb=self._acknowledged)  # pyright: ignore[reportUnknownMemberType]
        while True:
            while self._queue and len(self._flying) < _MAX_FLYING:
                await self._launch(self._queue.popleft())
            self._resend_overdue()
            self._wake.clear()
            if not self._queue or len(self._flying) >= _MAX_FLYING:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), 0.5)

    async def _launch(self, outgoing: Outgoing) -> None:
        replaced = [task for task in outgoing.tasks if task.replaces]
        count = len(outgoing.events) + len(outgoing.tasks)
        self._flying[outgoing.id] = _Flight(outgoing, count, self._now())
        reply = f"{self._prefix}{outgoing.id}"
        try:
            for event in outgoing.events:
                await self._publish_event(outgoing, event, reply)
            for task in outgoing.tasks:
                if not task.replaces:
                    await self._publish_task(task, reply)
        except nats_errors.Error as error:
            await self._failed(outgoing.id, str(error))
            return
        for task in replaced:
            job = asyncio.create_task(self._replace(task, reply, outgoing.id))
            self._replacing.add(job)
            job.add_done_callback(self._replacing.discard)
        SENT.labels("event").inc(len(outgoing.events))
        SENT.labels("task").inc(len(outgoing.tasks))

    async def _publish_event(self, outgoing: Outgoing, event: StoredEvent, reply: str) -> None:
        body = _encode(
            _Published(
                event.run_id,
                event.seq,
                event.type,
                to_rfc3339(event.at),
                event.step_id,
                event.actor,
                msgspec.Raw(event.data),
                event.hash,
            )
        )
        span = telemetry.run_span_id(event.run_id)
        await self._bus.nc.publish(
            subjects.event(event.run_id, event.step_id),
            body,
            reply,
            {
                headers.CONTENT_TYPE: headers.JSON,
                headers.CONTRACT_VERSION: headers.VERSION,
                headers.TRACEPARENT: telemetry.traceparent(outgoing.trace_id, span),
                "Nats-Msg-Id": f"{event.run_id}:{event.seq}",
            },
        )

    async def _publish_task(self, task: TaskMessage, reply: str) -> None:
        await self._bus.nc.publish(
            task.subject,
            task.body,
            reply,
            {
                headers.CONTENT_TYPE: headers.MSGPACK,
                headers.CONTRACT_VERSION: headers.VERSION,
                headers.TRACEPARENT: task.traceparent,
                headers.IDEMPOTENCY_KEY: task.key,
            },
        )

    async def _replace(self, task: TaskMessage, reply: str, identity: int) -> None:
        """Take the old message of a subject away (its runner is gone, it would block the new one), then publish."""
        try:
            await self._bus.js.purge_stream(subjects.TASKS_STREAM, subject=task.subject)
            await self._publish_task(task, reply)
        except (nats_errors.Error, TimeoutError) as error:
            await self._failed(identity, str(error))

    async def _acknowledged(self, message: Msg) -> None:
        identity = int(message.subject[len(self._prefix) :])
        flight = self._flying.get(identity)
        if flight is None:
            return
        data = message.data
        if message.headers is not None and message.headers.get("Status") == "503":
            self.on_missing_stream()
            await self._failed(identity, "no stream takes it")
            return
        if b'"error"' in data and _ALREADY_THERE not in data:
            await self._failed(identity, data.decode(errors="replace")[:200])
            return
        flight.missing -= 1
        if flight.missing <= 0 and not flight.failed:
            del self._flying[identity]
            self._forget(identity)
            if self._queue:
                self._wake.set()

    async def _failed(self, identity: int, why: str) -> None:
        flight = self._flying.get(identity)
        if flight is None or flight.failed:
            return
        flight.failed = True
        log.debug("relay_failed", outbox_id=identity, detail=why)
        asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self._again, identity)

    def _again(self, identity: int) -> None:
        flight = self._flying.pop(identity, None)
        if flight is not None:
            RESENT.inc()
            self._queue.append(flight.outgoing)
            self._wake.set()

    def _resend_overdue(self) -> None:
        limit = self._now() - _RESEND_MS
        for identity, flight in list(self._flying.items()):
            if flight.sent_at > limit and flight.sent_at <= self._now():
                break  # in the order of sending: the rest is younger
            self._again(identity)

    def _forget(self, identity: int) -> None:
        if identity < 0:
            return
        self._done.append(identity)
        if self._deleting is None:
            self._deleting = asyncio.create_task(self._delete_done())

    async def _delete_done(self) -> None:
        """Delete acknowledged rows; those that come in while one deletion is on its way go with the next."""
        try:
            while self._done:
                done, self._done = self._done, []
                unit = Unit()
                for identity in done:
                    unit.add(sql.DELETE_OUTBOX, (identity,))
                try:
                    await self._writer.submit(unit)
                except Exception as error:  # noqa: BLE001 - the rows stay and are sent again by the next scheduler
                    log.warning("outbox_not_cleaned", error=str(error))
                    return
        finally:
            self._deleting = None

    def _age(self) -> float:
        oldest = [flight.outgoing.created_at for flight in itertools.islice(self._flying.values(), 1)]
        oldest += [outgoing.created_at for outgoing in itertools.islice(self._queue, 1)]
        return max(0.0, (self._now() - min(oldest)) / 1000) if oldest else 0.0
