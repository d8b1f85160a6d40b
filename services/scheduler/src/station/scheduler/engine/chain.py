"""The canonical form of an event and the hash chain over it: a change of any stored event breaks every later hash."""

from __future__ import annotations

import hashlib

import msgspec

from station.contracts.events import TYPE_NAMES, Event

GENESIS = "0" * 64

_encode = msgspec.json.Encoder().encode


class Canonical(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """What is hashed: every field of the event, in the order of their names."""

    actor: str
    at: int
    data: msgspec.Raw
    run_id: str
    seq: int
    step_id: str | None
    type: str


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as its row holds it."""

    run_id: str
    seq: int
    type: str
    at: int
    step_id: str | None
    actor: str
    data: bytes
    """JSON, exactly as stored."""
    hash: str


def seal(event: Event, previous: str) -> StoredEvent:
    """Encode an event once, for the row, the hash and the bus alike."""
    data = _encode(event.data)
    name = TYPE_NAMES[type(event.data)]
    value = link(previous, event.run_id, event.seq, name, event.at, event.step_id, event.actor, data)
    return StoredEvent(event.run_id, event.seq, name, event.at, event.step_id, event.actor, data, value)


def link(  # noqa: PLR0917 - the columns of an event, in their order
    previous: str, run_id: str, seq: int, name: str, at: int, step_id: str | None, actor: str, data: bytes
) -> str:
    """Give the hash of an event that follows ``previous``: sha256, in hex."""
    canonical = _encode(Canonical(actor, at, msgspec.Raw(data), run_id, seq, step_id, name))
    return hashlib.sha256(previous.encode() + canonical).hexdigest()
