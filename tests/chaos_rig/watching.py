"""Clients of the event stream: each must see every seq once, in order, however often its connection breaks."""

import asyncio
import contextlib
import random
from http import HTTPStatus

import httpx
import msgspec
from msgspec import Struct

from station.contracts.events import TERMINAL_EVENTS
from tests.chaos_rig.api import Api
from tests.support.driver import ENDED

PAUSE_SECONDS = 0.2
SILENCE_SECONDS = 20.0
"""The stream has a comment every 15 s: a connection without one for longer is dead."""


class Seen(Struct):
    """What one client has seen."""

    run_id: str
    after: int | None
    """The seq from which on it saw events; None until the snapshot has said so."""
    hashes: dict[int, str]
    last: int = 0
    connections: int = 0
    problems: list[str] = msgspec.field(default_factory=list[str])
    ended: bool = False


class _Event(Struct):
    seq: int
    type: str
    hash: str


class _Head(Struct, rename="camel"):
    last_seq: int
    status: str


async def follow(api: Api, run_id: str, rng: random.Random, seen: Seen) -> None:
    """Follow a run to its end, with a new connection whenever one breaks, or at will."""
    while not seen.ended:
        seen.connections += 1
        with contextlib.suppress(httpx.TransportError):
            await _connection(api, run_id, seen, leave=rng.random() < 0.1)
        if not seen.ended:
            await asyncio.sleep(PAUSE_SECONDS * rng.uniform(0.5, 1.5))


def watcher(run_id: str, rng: random.Random) -> Seen:
    """A client that wants everything, or only what comes from now on."""
    return Seen(run_id, 0 if rng.random() < 0.7 else None, {})


async def _connection(api: Api, run_id: str, seen: Seen, *, leave: bool) -> None:
    """Read one connection; with ``leave``, hang up after a few frames."""
    headers = {} if seen.after is None else {"last-event-id": str(seen.last)}
    timeout = httpx.Timeout(10, connect=2, read=SILENCE_SECONDS)
    async with api.http.stream("GET", f"/workflow-runs/{run_id}/stream", headers=headers, timeout=timeout) as answer:
        if answer.status_code != HTTPStatus.OK:
            if answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                seen.problems.append(f"the stream was answered with {answer.status_code}")
                seen.ended = True
            return
        fields: dict[str, str] = {}
        frames = 0
        async for line in answer.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
                continue
            if "event" in fields:
                _take(seen, fields)
                frames += 1
            fields = {}
            if seen.ended or (leave and frames > 3):
                return


def _take(seen: Seen, fields: dict[str, str]) -> None:
    if fields["event"] == "snapshot":
        head = msgspec.json.decode(fields["data"], type=_Head)
        if seen.after is None:
            seen.after = seen.last = head.last_seq
        seen.ended = head.status in ENDED and seen.last == head.last_seq
        return
    if fields["event"] == "agent_progress":
        if "id" in fields:
            seen.problems.append(f"what an agent said came with the id {fields['id']}")
        return
    event = msgspec.json.decode(fields["data"], type=_Event)
    if event.seq != seen.last + 1:
        seen.problems.append(f"after {seen.last} came {event.seq}")
    if fields.get("id") != str(event.seq) or fields["event"] != event.type:
        seen.problems.append(f"event {event.seq} ({event.type}) came as {fields.get('id')} ({fields['event']})")
    seen.last = event.seq
    seen.hashes[event.seq] = event.hash
    seen.ended = event.type in TERMINAL_EVENTS
