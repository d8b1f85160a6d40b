"""Events and tasks as messages on the bus."""

from __future__ import annotations

import msgspec

from station.contracts import headers, subjects
from station.runtime import telemetry
from station.runtime.bus import Bus
from station.runtime.clock import to_rfc3339
from station.scheduler.engine.chain import StoredEvent
from station.scheduler.engine.record import Outgoing, TaskMessage

_encode = msgspec.json.Encoder().encode


class _Published(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """`contracts.events.PublishedEvent`, with the data as it is stored."""

    run_id: str
    seq: int
    type: str
    at: str
    step_id: str | None
    actor: str
    data: msgspec.Raw
    hash: str


class Message(msgspec.Struct, frozen=True, gc=False):
    """What goes over the bus."""

    subject: str
    body: bytes
    headers: dict[str, str]
    replaces: bool = False


def event_messages(outgoing: Outgoing) -> list[Message]:
    """Give the messages of a turn's events."""
    if not outgoing.events:
        return []
    trace = telemetry.traceparent(outgoing.trace_id, telemetry.run_span_id(outgoing.run_id))
    return [
        Message(
            subjects.event(event.run_id, event.step_id),
            event_body(event),
            {
                headers.CONTENT_TYPE: headers.JSON,
                headers.CONTRACT_VERSION: headers.VERSION,
                headers.TRACEPARENT: trace,
                "Nats-Msg-Id": f"{event.run_id}:{event.seq}",
            },
        )
        for event in outgoing.events
    ]


def task_message(task: TaskMessage) -> Message:
    """Give the message of a task."""
    return Message(
        task.subject,
        task.body,
        {
            headers.CONTENT_TYPE: headers.MSGPACK,
            headers.CONTRACT_VERSION: headers.VERSION,
            headers.TRACEPARENT: task.traceparent,
            headers.IDEMPOTENCY_KEY: task.key,
        },
        task.replaces,
    )


async def publish(bus: Bus, message: Message, reply: str) -> None:
    """Publish a message; the stream acknowledges it on ``reply``, if that is not empty."""
    await bus.nc.publish(message.subject, message.body, reply, message.headers)


def event_body(event: StoredEvent) -> bytes:
    """Give an event as readers see it, in JSON."""
    return _encode(
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
