"""Parameters that several routes share: paging, labels, idempotency keys."""

from typing import Annotated

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
    QueryParameter(name="label", description="`key:value` or `key=value`; may be given several times, all must match."),
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


def labels_of(texts: list[str] | None) -> dict[str, str]:
    """``["team:ops", "tier=1"]`` as a map. Raises Refused (400) for text without a separator, or a name given twice."""
    labels: dict[str, str] = {}
    for text in texts or ():
        place = min((at for at in (text.find(":"), text.find("=")) if at > 0), default=0)
        name, value = text[:place], text[place + 1 :]
        if not name or name in labels:
            what = f"the label {name!r} is given twice" if name else f"{text!r} is not key:value"
            problem = Problem(
                "label_invalid", "query.label", f"query parameter label: {what}.", "Write label=team:ops."
            )
            raise refuse(400, "parameter_invalid", problem.message, errors=[problem])
        labels[name] = value
    return labels


def position(cursor: str | None, after: int) -> int:
    """Where a page of events begins: its cursor is the seq of the last event before it. Raises Refused (400)."""
    if cursor is None:
        return after
    if not (cursor.isascii() and cursor.isdigit() and int(cursor) <= LARGEST_SEQ):
        problem = Problem(
            "parameter_invalid", "query.cursor", "query parameter cursor: this is no `nextCursor` of events."
        )
        raise refuse(400, "cursor_invalid", problem.message, errors=[problem])
    return max(after, int(cursor))
