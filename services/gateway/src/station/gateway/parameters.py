"""Parameters that several routes share: paging, labels, idempotency keys."""

from typing import Annotated

from litestar.openapi.spec import OpenAPIType, Schema
from litestar.params import HeaderParameter, QueryParameter

from station.contracts.events import EVENT_TYPES
from station.contracts.problems import Problem
from station.runtime.ids import new_id
from station.runtime.rpc import refuse
from station.runtime.telemetry import parse_traceparent

LARGEST_PAGE = 200
LARGEST_SEQ = 2**53 - 1

Limit = Annotated[int, QueryParameter(ge=1, le=LARGEST_PAGE, description="Most items of one page.")]
Cursor = Annotated[
    str | None,
    QueryParameter(max_length=1024, description="`nextCursor` of the page before; without it, the first page."),
]
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        pattern="^[!-~]([ -~]{0,253}[!-~])?$",
        description="Same key and body: the first answer again. Same key, other body: 422. Without one, one is made.",
    ),
]
Traceparent = Annotated[
    str | None, HeaderParameter(name="traceparent", description="W3C trace context of whoever starts the run.")
]
Labels = Annotated[
    list[str] | None,
    QueryParameter(
        name="label",
        description="`key:value` or `key=value`; may be given several times, all must match.",
        schema_extra={"items": Schema(type=OpenAPIType.STRING, pattern="^[^:=]+[:=]")},
    ),
]

EventCursor = Annotated[
    str | None, QueryParameter(pattern="^[0-9]{1,15}$", description="`nextCursor` of the page before.")
]
EventType = Annotated[
    str | None,
    QueryParameter(name="type", pattern=f"^({'|'.join(EVENT_TYPES)})$", description="Only events of this type."),
]


def key_or_new(key: str | None) -> str:
    """The client's idempotency key, else one made here: it makes a repetition inside the gateway safe."""
    return key or new_id("key")


def traceparent_or_none(text: str | None) -> str | None:
    """The trace context if it is one; as W3C asks, a broken one is left out, not refused."""
    return text if text and parse_traceparent(text) else None


def labels_of(texts: list[str] | None) -> dict[str, str] | None:
    """``["team:ops", "tier=1"]`` as a map; None when no run can have them all.

    Raises:
        Refused: 400, a text has no separator or no name.
    """
    labels: dict[str, str] = {}
    for text in texts or ():
        place = min((at for at in (text.find(":"), text.find("=")) if at > 0), default=0)
        name, value = text[:place], text[place + 1 :]
        if not name:
            what = f"query parameter label: {text!r} is not key:value."
            problem = Problem("label_invalid", "query.label", what, "Write label=team:ops.")
            raise refuse(400, "parameter_invalid", what, errors=[problem])
        if labels.setdefault(name, value) != value:
            return None
    return labels


def position(cursor: str | None, after: int) -> int:
    """Where a page of events begins: its cursor is the seq of the last event before it."""
    return after if cursor is None else max(after, int(cursor))
