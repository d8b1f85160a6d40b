"""The events of one run, in order, each once: the stored ones, then as they happen, across lost connections."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import msgspec

from station.cli.client import Api
from station.cli.errors import Unreachable
from station.cli.inputs import segment
from station.contracts.events import TERMINAL_EVENTS, PublishedEvent
from station.contracts.progress import AgentProgress
from station.contracts.runs import EventPage

PAGE = 200
PROGRESS = "agent_progress"
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 3.0


class ServerSentEvent(msgspec.Struct):
    """One dispatched event of a ``text/event-stream``."""

    event: str
    data: str


def parse_events(lines: Iterable[str]) -> Iterator[ServerSentEvent]:
    """The events in a stream's lines; comments and unfinished events are dropped."""
    name, data = "", list[str]()
    for line in lines:
        if not line:
            if data:
                yield ServerSentEvent(name, "\n".join(data))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)


Heard = Callable[[AgentProgress], None]


def follow(
    api: Api, run_id: str, *, lost: Callable[[Unreachable], None], heard: Heard | None = None
) -> Iterator[PublishedEvent]:
    """Every event from the first to the terminal one. ``lost`` is told when the connection breaks; it is made again.

    ``heard`` is told what agents say between two events; without it, nobody sends that.

    Raises:
        RefusedRequest: there is no such run.
        Unreachable: nobody answered to begin with.
    """
    last = 0
    for event in stored(api, run_id):
        last = event.seq
        yield event
        if event.type in TERMINAL_EVENTS:
            return
    pause = FIRST_PAUSE
    while True:
        try:
            for event in _live(api, run_id, last, heard):
                pause = FIRST_PAUSE
                if event.seq <= last:
                    continue
                last = event.seq
                yield event
                if event.type in TERMINAL_EVENTS:
                    return
        except Unreachable as error:
            lost(error)
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def stored(api: Api, run_id: str, after: int = 0, kind: str | None = None) -> Iterator[PublishedEvent]:
    """The events that are stored now, page by page."""
    while True:
        page = api.get(
            f"/workflow-runs/{segment(run_id)}/events", EventPage, {"after": after, "limit": PAGE, "type": kind}
        )
        yield from page.items
        if page.next_cursor is None or not page.items:
            return
        after = page.items[-1].seq


def _live(api: Api, run_id: str, last: int, heard: Heard | None) -> Iterator[PublishedEvent]:
    path = f"/workflow-runs/{segment(run_id)}/stream" + ("" if heard else "?progress=false")
    with api.stream(path, last) as lines:
        for event in parse_events(lines):
            if event.event == PROGRESS:
                if heard is not None:
                    with suppress(msgspec.ValidationError):  # of a kind that is newer than this program
                        heard(msgspec.json.decode(event.data, type=AgentProgress))
            elif event.event != "snapshot":
                yield msgspec.json.decode(event.data, type=PublishedEvent)
