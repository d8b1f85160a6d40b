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


async def publish_events(bus: Bus, outgoing: Outgoing, reply: str) -> None:
    """Publish the events of a turn; the last one asks for an acknowledgement on ``reply``, if that is not empty."""
    if not outgoing.events:
        return
    trace = telemetry.traceparent(outgoing.trace_id, telemetry.run_span_id(outgoing.run_id))
    last = outgoing.events[-1]
    for event in outgoing.events:
        await bus.nc.publish(
            subjects.event(event.run_id, event.step_id),
            event_body(event),
            reply if event is last else "",
            {
                headers.CONTENT_TYPE: headers.JSON,
                headers.CONTRACT_VERSION: headers.VERSION,
                headers.TRACEPARENT: trace,
                "Nats-Msg-Id": f"{event.run_id}:{event.seq}",
            },
        )


async def publish_task(bus: Bus, task: TaskMessage, reply: str) -> None:
    """Publish one task."""
    await bus.nc.publish(
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
