"""The schemas of the headers that go with messages on the bus."""

from typing import Any

from station.contracts import headers

_TRACE = {
    "type": "string",
    "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
    "description": "W3C trace context: who waits for this, or caused it.",
}
_COMMON: dict[str, Any] = {
    headers.CONTENT_TYPE: {
        "type": "string",
        "enum": [headers.MSGPACK, headers.JSON],
        "description": "Without it, a body that begins with `{` is JSON and any other is msgpack.",
    },
    headers.CONTRACT_VERSION: {
        "type": "string",
        "const": headers.VERSION,
        "description": "Version of these contracts.",
    },
    headers.TRACEPARENT: _TRACE,
}
_KEY = {"type": "string", "description": "`<run>:<step>:<attempt>`: the same on every redelivery."}
_MESSAGE_ID = {"type": "string", "description": "`<run>:<seq>`: within two minutes the broker drops a second one."}
_CODE = {"type": "string", "description": "HTTP status of the refusal."}
_TEXT = {"type": "string", "description": "Code of the refusal, such as `run_ended`."}


def _schema(**more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {**_COMMON, **more}}


HEADERS: dict[str, dict[str, Any]] = {
    "Headers": _schema(),
    "TaskHeaders": _schema(**{headers.IDEMPOTENCY_KEY: _KEY}),
    "EventHeaders": _schema(**{"Nats-Msg-Id": _MESSAGE_ID}),
    "RefusalHeaders": {
        **_schema(**{headers.ERROR_CODE: _CODE, headers.ERROR_TEXT: _TEXT}),
        "required": [headers.ERROR_CODE, headers.ERROR_TEXT],
    },
}

_SPECIAL = {
    "StepTask": "TaskHeaders",
    "ApprovalTask": "TaskHeaders",
    "PublishedEvent": "EventHeaders",
    "Failure": "RefusalHeaders",
}


def headers_of(message: str) -> str:
    """The name of the schema of the headers that go with a message."""
    return _SPECIAL.get(message, "Headers")
