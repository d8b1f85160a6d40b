"""The AsyncAPI 3.0 document: every subject as a channel, and what each service sends and takes there."""

from functools import cache
from typing import Any

import msgspec

from station.contracts import headers, subjects
from station.contracts.catalog import APPROVALS, CATALOG, GATEWAY, MESSAGES, RUNNER, SCHEDULER, Exchange, Kind
from station.contracts.events import EVENT_TYPES, PublishedEvent
from tests.support import goldens
from tests.support.documents import docstrings
from tests.support.documents.header_schemas import HEADERS, headers_of
from tests.support.documents.schemas import components, event_schema, written
from tests.support.documents.subjects import channel_of, parameters_of, stream_of

Node = dict[str, Any]
SERVICES = (GATEWAY, SCHEDULER, RUNNER, APPROVALS)
SCHEMAS = "#/components/schemas/"
REPLIES = "replies"
ABOUT = """The messages of Station on NATS. Between Station's services bodies are msgpack (`application/msgpack`);
other systems may send the same structures as JSON, and get answers in the format they ask in. Readers ignore fields
that they do not know: within v1 fields are only added, with defaults.

Streams: `{tasks}` keeps `wf.task.>` until it is acknowledged, one message per subject; `{events}` keeps `wf.event.>`
for 7 days. Requests (`wf.rpc.>`) and `wf.control.>` are not stored."""
ABOUT_REPLIES = "The inbox that a request names as its reply subject: the answer, or a `Failure` with error headers."


@cache
def asyncapi() -> str:
    """The whole document, as JSON."""
    parts = components((*MESSAGES, *EVENT_TYPES.values()), SCHEMAS)
    envelope = parts[PublishedEvent.__name__]
    about = ABOUT.format(tasks=subjects.TASKS_STREAM, events=subjects.EVENTS_STREAM)
    return written(
        {
            "asyncapi": "3.0.0",
            "info": {"title": "Station", "version": headers.VERSION, "description": about},
            "defaultContentType": headers.JSON,
            "servers": {"local": {"host": "127.0.0.1:4222", "protocol": "nats"}},
            "channels": {**{channel_of(one): _channel(one) for one in CATALOG}, REPLIES: _replies()},
            "operations": {name: operation for one in CATALOG for name, operation in _operations(one)},
            "components": {
                "messages": {
                    **{kind.__name__: _message(kind) for kind in MESSAGES if kind is not PublishedEvent},
                    **{name: _event(name, envelope) for name in EVENT_TYPES},
                },
                "schemas": {**parts, **HEADERS},
            },
        }
    )


def _channel(exchange: Exchange) -> Node:
    parameters = parameters_of(exchange)
    return {
        "address": exchange.subject,
        "title": exchange.subject,
        "summary": exchange.summary,
        "messages": {name: _reference("components/messages", name) for name in _carried(exchange)},
        **({"parameters": parameters} if parameters else {}),
        **({"x-stream": stream} if (stream := stream_of(exchange)) else {}),
    }


def _replies() -> Node:
    answers = dict.fromkeys(one.answer.__name__ for one in CATALOG if one.answer is not None)
    names = [*answers, "Failure"]
    messages = {name: _reference("components/messages", name) for name in names}
    return {"address": None, "title": "Replies", "description": ABOUT_REPLIES, "messages": messages}


def _operations(exchange: Exchange) -> list[tuple[str, Node]]:
    """What each service does on the channel, by the operation's name."""
    channel = channel_of(exchange)
    return [
        (f"{service}_{action}_{channel}", _operation(exchange, service, action))
        for action, parties in (("send", exchange.senders), ("receive", exchange.takers))
        for service in parties
        if service in SERVICES
    ]


def _operation(exchange: Exchange, service: str, action: str) -> Node:
    channel = channel_of(exchange)
    operation: Node = {
        "action": action,
        "channel": _reference("channels", channel),
        "summary": exchange.summary,
        "tags": [{"name": service}],
        "messages": [_reference(f"channels/{channel}/messages", name) for name in _carried(exchange)],
    }
    if exchange.answer is not None:
        names = (exchange.answer.__name__, "Failure")
        answers = [_reference(f"channels/{REPLIES}/messages", name) for name in names]
        operation["reply"] = {"channel": _reference("channels", REPLIES), "messages": answers}
    if exchange.kind is Kind.REQUEST and action == "receive":
        operation["bindings"] = {"nats": {"queue": f"station-{service}", "bindingVersion": "0.1.0"}}
    return operation


def _message(kind: type[msgspec.Struct]) -> Node:
    name = kind.__name__
    about = docstrings.of_class(kind)
    return {
        "name": name,
        "title": name,
        **({"description": about} if about else {}),
        "headers": {"$ref": SCHEMAS + headers_of(name)},
        "payload": {"$ref": SCHEMAS + name},
        "examples": [_example(name)],
    }


def _event(name: str, envelope: Node) -> Node:
    schema = event_schema(name, envelope, SCHEMAS)
    return {
        "name": name,
        "title": name,
        "description": schema["description"],
        "headers": {"$ref": SCHEMAS + headers_of(PublishedEvent.__name__)},
        "payload": schema,
        "examples": [_example(name)],
    }


def _example(name: str) -> Node:
    return {"name": name, "payload": msgspec.json.decode(goldens.path_of(name, ".json").read_bytes())}


def _carried(exchange: Exchange) -> tuple[str, ...]:
    return exchange.event_types or (exchange.body.__name__,)


def _reference(place: str, name: str) -> Node:
    return {"$ref": f"#/{place}/{name}"}
