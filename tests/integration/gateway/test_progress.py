"""What agents say is on the run's stream: as it comes, beside the events, and never at their cost."""

from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from station.contracts import subjects
from station.contracts.progress import AgentProgress
from station.gateway import feed
from station.gateway.listener import Listener, LiveEvent, Speech, speech
from station.runtime.bus import Bus
from tests.integration.gateway.test_refusals import problem
from tests.integration.gateway.test_stream import URL, Frame, Reader, streaming, tell
from tests.support.fake_scheduler import FakeScheduler
from tests.support.nats import NatsServer

PROGRESS = "agent_progress"


@pytest.fixture
async def runner(nats_server: NatsServer) -> AsyncIterator[Bus]:
    bus = await Bus.connect(nats_server.url, name="runner")
    yield bus
    await bus.close()


async def say(runner: Bus, number: int, text: str = "hm", run_id: str = "run_1") -> None:
    said = AgentProgress(
        run_id=run_id,
        step_id="s1",
        attempt=1,
        number=number,
        at="2026-01-01T00:00:00.000Z",
        agent="triage",
        kind="text",
        text=text,
    )
    await runner.publish(subjects.progress(run_id), msgspec.json.encode(said))
    if not number % 50:
        await runner.flush()


async def following(stream: Reader) -> Frame:
    """The next frame that is no comment."""
    while True:
        frame = await stream.next()
        assert frame is not None
        if frame.comment is None:
            return frame


async def test_it_comes_between_the_events_in_order_and_without_an_id(
    http: httpx.AsyncClient, scheduler: FakeScheduler, runner: Bus
) -> None:
    scheduler.add_run("run_1", "run_created")
    async with streaming(http) as stream:
        await stream.next()
        await say(runner, 1, run_id="run_2")
        for number in (1, 2, 3):
            await say(runner, number, f"{number} of three")
        frames = [await following(stream) for _ in range(3)]
        assert [(frame.event, frame.id, frame.data["number"], frame.data["text"]) for frame in frames] == [
            (PROGRESS, None, 1, "1 of three"),
            (PROGRESS, None, 2, "2 of three"),
            (PROGRESS, None, 3, "3 of three"),
        ]
        await tell(scheduler, "step_started", step_id="s1")
        assert (await following(stream)).event == "step_started"
        await say(runner, 4)
        assert (await following(stream)).data["number"] == 4
        await tell(scheduler, "run_completed")
        assert [frame.event for frame in await stream.rest()] == ["run_completed"]


async def test_who_does_not_want_it_is_spared(http: httpx.AsyncClient, scheduler: FakeScheduler, runner: Bus) -> None:
    scheduler.add_run("run_1", "run_created")
    async with streaming(http) as other, streaming(http, progress="false") as stream:
        await other.next()
        await stream.next()
        await say(runner, 1)
        assert (await following(other)).event == PROGRESS, "so it has come to the gateway"
        await tell(scheduler, "run_completed")
        assert [frame.event for frame in await stream.rest()] == ["run_completed"]
    assert (
        "progress" in problem(await http.get(URL, params={"progress": "perhaps"}), 400, "parameter_invalid")["detail"]
    )


async def test_a_slow_reader_misses_what_agents_say_and_no_event(
    http: httpx.AsyncClient, scheduler: FakeScheduler, runner: Bus
) -> None:
    scheduler.add_run("run_1", "run_created")
    said, events = 4000, 300
    async with streaming(http) as stream, streaming(http, progress="false") as witness:
        await stream.next()
        await witness.next()
        for number in range(1, said + 1):
            await say(runner, number, "x" * 8000)
            if number % (said // events) == 0 and len(scheduler.events["run_1"]) <= events:
                await tell(scheduler, "step_started", step_id="s1")
        await tell(scheduler, "run_completed")
        assert await witness.seqs(events + 1) == list(range(2, events + 3)), "by now all has come to the gateway"
        frames = await stream.rest()
    heard = [frame.data["number"] for frame in frames if frame.event == PROGRESS]
    assert [frame.data["seq"] for frame in frames if frame.event != PROGRESS] == list(range(2, events + 3))
    assert heard == sorted(set(heard))
    assert 0 < len(heard) < said


async def test_an_event_that_is_missing_is_asked_for_while_agents_talk(
    http: httpx.AsyncClient, scheduler: FakeScheduler, runner: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "IDLE_SECONDS", 1000)
    scheduler.add_run("run_1", "run_created")
    async with streaming(http) as stream:
        await stream.next()
        scheduler.commit("run_1", "run_started")
        await tell(scheduler, "step_started", step_id="s1")
        seqs: list[int] = []
        number = 0
        while len(seqs) < 2:
            number += 1
            await say(runner, number)
            frame = await following(stream)
            if frame.event != PROGRESS:
                seqs.append(frame.data["seq"])
        assert seqs == [2, 3]


async def test_what_is_no_json_is_left_out(http: httpx.AsyncClient, scheduler: FakeScheduler, runner: Bus) -> None:
    scheduler.add_run("run_1", "run_created")
    async with streaming(http) as stream:
        await stream.next()
        for garbage in (b"", b"{", b'{"a":\n1}', b"\xff"):
            await runner.publish(subjects.progress("run_1"), garbage)
        await say(runner, 1)
        assert (await following(stream)).data["number"] == 1


async def test_who_comes_back_has_missed_it(http: httpx.AsyncClient, scheduler: FakeScheduler, runner: Bus) -> None:
    scheduler.add_run("run_1", "run_created")
    async with streaming(http) as stream:
        await stream.next()
        await say(runner, 1)
        await following(stream)
    async with streaming(http, after=1) as stream:
        assert (await following(stream)).event == "snapshot"
        await tell(scheduler, "run_started")
        assert await stream.seqs(1) == [2]


async def test_a_listener_keeps_order_and_room_for_events() -> None:
    listener = Listener()
    event = LiveEvent(1, "run_started", b"{}")
    for _ in range(1000):
        listener.say(speech(b"{}"))
    listener.offer(event)
    found = [await listener.next(0) for _ in range(201)]
    assert found == [Speech(b"{}")] * 200 + [event]
    assert not listener.lost
    for _ in range(2001):
        listener.offer(event)
    assert listener.lost
    listener.say(speech(b"{}"))
    heard = [await listener.next(0) for _ in range(2002)]
    assert (heard[-2], heard[-1]) == (Speech(b"{}"), None)
