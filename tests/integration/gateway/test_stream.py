"""The event stream: a snapshot, then each seq once and in order, whatever the bus and the client do in between."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest

from station.contracts import subjects
from station.contracts.statuses import RunStatus
from station.gateway import feed, sse
from tests.integration.gateway.conftest import Running, Start
from tests.integration.gateway.test_refusals import problem
from tests.support.fake_scheduler import FakeScheduler
from tests.support.nats import NatsServer

URL = "/workflow-runs/run_1/stream"


class Frame(msgspec.Struct):
    """One server-sent event, or a comment."""

    event: str | None = None
    id: str | None = None
    data: Any = None
    comment: str | None = None


class Reader:
    """Reads one stream, frame by frame."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> Frame | None:
        """The next frame, or None at the end of the stream."""
        found: dict[str, Any] = {}
        async for line in self._lines:
            if not line:
                return Frame(found.get("event"), found.get("id"), _json(found.get("data")), found.get("comment"))
            name, _, value = line.partition(":")
            found[name or "comment"] = value.strip()
        return None

    async def rest(self) -> list[Frame]:
        """Every frame until the end, without comments."""
        frames = [frame async for frame in self]
        return [frame for frame in frames if frame.comment is None]

    async def seqs(self, count: int) -> list[int]:
        """The seqs of the next so many events."""
        found: list[int] = []
        while len(found) < count:
            frame = await self.next()
            assert frame is not None, found
            if frame.comment is None:
                assert frame.id == str(frame.data["seq"])
                assert frame.event == frame.data["type"]
                found.append(frame.data["seq"])
        return found

    async def __aiter__(self) -> AsyncIterator[Frame]:
        while (frame := await self.next()) is not None:
            yield frame


def _json(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


@asynccontextmanager
async def streaming(http: httpx.AsyncClient, after: int | None = None, **query: str) -> AsyncIterator[Reader]:
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    async with http.stream("GET", URL, headers=headers, params=query) as answer:
        assert answer.status_code == 200
        yield Reader(answer)


async def tell(scheduler: FakeScheduler, *kinds: str, step_id: str | None = None) -> None:
    for kind in kinds:
        await scheduler.publish(scheduler.commit("run_1", kind, step_id=step_id))


async def test_a_snapshot_then_what_happens_then_the_end(http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
    scheduler.add_run("run_1", "run_created", "run_started")
    async with streaming(http) as stream:
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
        assert stream.answer.headers["cache-control"] == "no-store"
        assert stream.answer.headers["x-accel-buffering"] == "no"
        first = await stream.next()
        assert first is not None
        assert (first.event, first.id, first.data["lastSeq"]) == ("snapshot", "2", 2)
        await tell(scheduler, "step_started", step_id="s1")
        await tell(scheduler, "run_completed")
        frames = await stream.rest()
    assert [(frame.id, frame.event) for frame in frames] == [("3", "step_started"), ("4", "run_completed")]
    assert frames[0].data == msgspec.to_builtins(scheduler.events["run_1"][2])


async def test_resuming_sends_exactly_what_is_missing(http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
    scheduler.add_run("run_1", *["step_started"] * 500)
    async with streaming(http, after=3) as stream:
        first = await stream.next()
        assert first is not None
        assert (first.event, first.id) == ("snapshot", None)
        await tell(scheduler, "run_failed")
        assert await stream.seqs(498) == list(range(4, 502))
        assert await stream.next() is None


async def test_an_ended_run_is_replayed_and_closed(http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
    kinds = ("run_created", "run_cancelled", "late_result_ignored")
    scheduler.add_run("run_1", *kinds, status=RunStatus.CANCELLED)
    async with streaming(http, after=0) as stream:
        assert [frame.event for frame in await stream.rest()] == ["snapshot", *kinds]
    async with streaming(http) as stream:
        assert [frame.event for frame in await stream.rest()] == ["snapshot"]
    async with streaming(http, after=3) as stream:
        assert [frame.event for frame in await stream.rest()] == ["snapshot"]


async def test_an_id_from_the_future_gets_what_is_new(http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
    scheduler.add_run("run_1", "run_created")
    async with streaming(http, after=999) as stream:
        await stream.next()
        await tell(scheduler, "run_started")
        assert await stream.seqs(1) == [2]


async def test_order_repetition_and_holes_are_mended(http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
    scheduler.add_run("run_1", "run_created")
    async with streaming(http) as stream:
        await stream.next()
        made = [scheduler.commit("run_1", "step_started", step_id=f"s{number % 2}") for number in range(2, 10)]
        second, third, fourth, _fifth, sixth, seventh, *_ = made
        for event in (third, second, second, fourth, third):
            await scheduler.publish(event)
        assert await stream.seqs(3) == [2, 3, 4]
        asked = len(scheduler.asked)
        # The fifth never comes by itself: the sixth shows that it is missing, and it is asked for.
        for event in (sixth, seventh):
            await scheduler.publish(event)
        assert await stream.seqs(5) == [5, 6, 7, 8, 9]
        assert [subject for subject, *_ in scheduler.asked[asked:]] == [subjects.QUERY_EVENTS]
        await tell(scheduler, "run_completed")
        assert await stream.seqs(1) == [10]
        assert await stream.next() is None


async def test_an_end_that_nobody_tells_is_found(
    http: httpx.AsyncClient, scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "IDLE_SECONDS", 0.05)
    scheduler.add_run("run_1", "run_created")
    async with streaming(http) as stream:
        await stream.next()
        scheduler.commit("run_1", "run_started")
        scheduler.commit("run_1", "run_timed_out")
        assert [frame.event for frame in await stream.rest()] == ["run_started", "run_timed_out"]


async def test_a_quiet_stream_is_kept_alive_by_comments(
    http: httpx.AsyncClient, scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "PING_SECONDS", 0.02)
    scheduler.add_run("run_1", "run_created")
    async with streaming(http) as stream:
        await stream.next()
        frame = await stream.next()
        assert frame is not None
        assert (frame.comment, frame.event) == ("ping", None)


async def test_an_event_between_subscription_and_snapshot_is_not_lost(
    http: httpx.AsyncClient, scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is committed while the snapshot is made is in it or comes after it: never neither, never both."""
    monkeypatch.setattr(feed, "IDLE_SECONDS", 1000)  # the subscription alone must see it
    scheduler.add_run("run_1", "run_created")
    view = scheduler.view("run_1")

    async def slow(_request: object) -> object:
        await tell(scheduler, "run_started")
        return view

    scheduler.answers[subjects.QUERY_RUN] = slow
    async with streaming(http) as stream:
        first = await stream.next()
        assert first is not None
        assert first.data["lastSeq"] == 1
        assert await stream.seqs(1) == [2]


async def test_clients_that_come_and_go_see_every_seq_once(http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
    scheduler.add_run("run_1", "run_created")

    async def commit() -> None:
        for number in range(300):
            event = scheduler.commit("run_1", "step_started", step_id=f"s{number % 3}")
            if number % 7:
                await scheduler.publish(event)
            await asyncio.sleep(0)
        await tell(scheduler, "run_completed")

    async def read(batch: int) -> list[int]:
        seen: list[int] = []
        while True:
            async with streaming(http, after=seen[-1] if seen else 0) as stream:
                await stream.next()
                async for frame in stream:
                    seen.append(frame.data["seq"])
                    if frame.event == "run_completed":
                        return seen
                    if not len(seen) % batch:
                        break

    *seen, _ = await asyncio.gather(read(13), read(50), read(1000), commit())
    for seqs in seen:
        assert seqs == list(range(1, 303))


async def test_the_broker_may_die_under_a_stream(
    http: httpx.AsyncClient, scheduler: FakeScheduler, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "IDLE_SECONDS", 0.05)
    scheduler.add_run("run_1", "run_created")
    async with streaming(http) as stream:
        await stream.next()
        nats_server.kill()
        scheduler.commit("run_1", "run_started")
        scheduler.commit("run_1", "run_completed")
        nats_server.start()
        assert [frame.event for frame in await stream.rest()] == ["run_started", "run_completed"]


async def test_no_such_run(http: httpx.AsyncClient) -> None:
    for run_id in ("nobody", "a.b", "*", "%3E"):
        problem(await http.get(f"/workflow-runs/{run_id}/stream"), 404, "run_not_found")


async def test_a_wrong_last_event_id(http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
    scheduler.add_run("run_1", "run_created")
    answer = await http.get(URL, headers={"Last-Event-ID": "x"})
    assert "Last-Event-ID" in problem(answer, 400, "parameter_invalid")["detail"]


async def test_streams_are_bounded_share_a_subscription_and_are_given_back(
    start: Start, scheduler: FakeScheduler, nats_server: NatsServer
) -> None:
    gateway = await start(max_streams=2)
    scheduler.add_run("run_1", "run_created")
    async with streaming(gateway.client) as one, streaming(gateway.client) as two:
        await one.next()
        await two.next()
        found = problem(await gateway.client.get(URL), 503, "too_many_streams")
        assert "2 streams" in found["detail"]
        assert len(gateway.gateway.hub._feeds) == 1
    await nothing_is_left(gateway)
    async with streaming(gateway.client) as again:
        assert (await again.next()) is not None
    await nothing_is_left(gateway)
    problem(await gateway.client.get("/workflow-runs/nobody/stream"), 404, "run_not_found")
    await nothing_is_left(gateway)


async def nothing_is_left(gateway: Running) -> None:
    """Until no listener, no subscription and no task of a stream is left; the test's own timeout bounds it."""
    hub = gateway.gateway.hub
    for _ in itertools.count():
        if not hub._feeds and not hub._tasks and not hub._open:
            return
        await asyncio.sleep(0.01)


async def test_a_stop_ends_open_streams_at_once(gateway: Running, scheduler: FakeScheduler) -> None:
    scheduler.add_run("run_1", "run_created")
    async with streaming(gateway.client) as stream:
        await stream.next()
        gateway.gateway.hub.stop()
        assert await stream.next() is None
        problem(await gateway.client.get(URL), 503, "too_many_streams")
    await nothing_is_left(gateway)
