"""Following a run's events: parsing the stream, each event once, across lost connections."""

import httpx
import msgspec
import pytest

from station.cli.client import Api
from station.cli.errors import RefusedRequest, Unreachable
from station.cli.stream import follow, parse_events
from station.contracts.events import PublishedEvent
from station.contracts.progress import AgentProgress
from tests.unit.cli.events import Story


def frame(event: PublishedEvent) -> str:
    return f"id: {event.seq}\nevent: {event.type}\ndata: {msgspec.json.encode(event).decode()}\n\n"


def test_comments_and_unfinished_events_are_dropped() -> None:
    lines = [
        ": ping",
        "",
        "event: a",
        "data: 1",
        "data: 2",
        "id: 3",
        "",
        "event: b",
        "",
        "data:x",
        "",
        "event: c",
        "data: 9",
    ]
    assert [(event.event, event.data) for event in parse_events(lines)] == [("a", "1\n2"), ("", "x")]


class Gateway:
    """Knows a story; tells the stored part by pages of two, and breaks its stream after every event."""

    def __init__(self, story: Story, *, stored: int) -> None:
        self.story = story
        self.stored = stored
        self.resumed_at: list[int] = []
        self.refuses = 0
        self.says = ""
        self.asked_for_progress: list[bool] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            after = int(request.url.params["after"])
            page = [event for event in self.story.events[: self.stored] if event.seq > after][:2]
            more = bool(page) and page[-1].seq < self.stored
            body = {"items": page, "nextCursor": str(page[-1].seq) if more else None, "total": self.stored}
            return httpx.Response(200, content=msgspec.json.encode(body))
        if self.refuses:
            self.refuses -= 1
            raise httpx.ConnectError("Connection refused")
        last = int(request.headers["last-event-id"])
        self.resumed_at.append(last)
        self.asked_for_progress.append(request.url.params.get("progress") != "false")
        again = self.story.events[max(last - 1, 0)]
        text = 'event: snapshot\ndata: {"status": "RUNNING"}\n\n' + self.says + frame(again)
        if last < len(self.story.events):
            text += frame(self.story.events[last])
        return httpx.Response(200, text=text)

    def api(self) -> Api:
        return Api("http://station:1", "alice", transport=httpx.MockTransport(self))


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Story:
    monkeypatch.setattr("station.cli.stream.time.sleep", lambda _seconds: None)
    story = Story()
    for kind in ("run_created", "run_started", "run_paused", "run_resumed", "run_paused", "run_resumed"):
        story.add(kind)
    story.add("run_completed")
    return story


def test_every_event_comes_once_and_in_order_whatever_breaks(story: Story) -> None:
    gateway = Gateway(story, stored=3)
    gateway.refuses = 2
    lost: list[Unreachable] = []
    events = list(follow(gateway.api(), "run_1", lost=lost.append))
    assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6, 7]
    assert gateway.resumed_at == [3, 4, 5, 6]
    assert len(lost) == 2


def test_a_run_that_has_ended_needs_no_stream(story: Story) -> None:
    gateway = Gateway(story, stored=7)
    assert len(list(follow(gateway.api(), "run_1", lost=lambda _error: None))) == 7
    assert gateway.resumed_at == []


def test_whoever_is_told_of_the_loss_may_give_up(story: Story) -> None:
    gateway = Gateway(story, stored=3)
    gateway.refuses = 1000

    class GivenUp(Exception):
        pass

    def give_up(error: Unreachable) -> None:
        raise GivenUp from error

    with pytest.raises(GivenUp):
        list(follow(gateway.api(), "run_1", lost=give_up))


def test_an_unknown_run_is_refused_at_once() -> None:
    transport = httpx.MockTransport(
        lambda _request: httpx.Response(404, json={"code": "run_not_found", "detail": "no"})
    )
    with pytest.raises(RefusedRequest):
        list(follow(Api("http://station:1", "alice", transport=transport), "run_9", lost=lambda _error: None))


def test_what_agents_say_is_told_beside_the_events_and_what_cannot_be_read_is_left_out(story: Story) -> None:
    said = AgentProgress(run_id="run_1", step_id="s", attempt=1, number=1, at="", agent="a", kind="text", text="hm")
    newer = msgspec.json.encode(said).replace(b'"text","text"', b'"poem","text"')
    gateway = Gateway(story, stored=6)
    gateway.says = "".join(
        f"event: agent_progress\ndata: {body.decode()}\n\n" for body in (newer, msgspec.json.encode(said))
    )
    heard: list[AgentProgress] = []
    events = list(follow(gateway.api(), "run_1", lost=lambda _error: None, heard=heard.append))
    assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6, 7]
    assert heard == [said]
    assert gateway.asked_for_progress == [True]


def test_who_does_not_listen_does_not_ask_for_it(story: Story) -> None:
    gateway = Gateway(story, stored=6)
    assert len(list(follow(gateway.api(), "run_1", lost=lambda _error: None))) == 7
    assert gateway.asked_for_progress == [False]
