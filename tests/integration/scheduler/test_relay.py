"""The relay: what is committed reaches the broker, whatever the broker does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.js.api import DiscardPolicy, StreamConfig

from station.contracts import headers, subjects
from station.contracts.events import PublishedEvent
from station.contracts.runs import GetRun
from station.runtime import metrics
from station.runtime.bus import Bus
from station.scheduler.engine import backlog, relay
from tests.support.nats import NatsServer
from tests.support.scheduler_house import CONTEXT, Clock, House, agent, house, timer, waiting
from tests.support.waiting import eventually


@pytest.fixture
async def home(tmp_path: Path, url: str) -> AsyncGenerator[House]:
    async with house(tmp_path, url) as opened:
        await opened.announce()
        yield opened


async def told(home: House) -> dict[tuple[str, int], PublishedEvent]:
    """The events that lie in the stream."""
    stream = await home.bus.js.stream_info(subjects.EVENTS_STREAM)
    found: dict[tuple[str, int], PublishedEvent] = {}
    for seq in range(stream.state.first_seq, stream.state.last_seq + 1):
        message = await home.bus.js.get_msg(subjects.EVENTS_STREAM, seq)
        event = msgspec.json.decode(message.data or b"", type=PublishedEvent)
        assert (event.run_id, event.seq) not in found, "the stream knows a message by its id"
        found[event.run_id, event.seq] = event
    return found


def committed(home: House) -> dict[tuple[str, int], str]:
    rows = home.rows("SELECT run_id, seq, hash FROM workflow_run_events")
    return {(run_id, seq): value for run_id, seq, value in rows}


async def everything_is_told(home: House) -> None:
    await home.drained()
    events = await told(home)
    assert {place: event.hash for place, event in events.items()} == committed(home)


async def test_events_and_tasks_arrive_with_their_headers(home):
    await home.create(agent("a"))
    run = await home.start(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    await everything_is_told(home)
    (task,) = await home.tasks()
    assert (task.run_id, task.agent, task.task) == (run.id, "a", "do")
    message = await home.bus.js.get_msg(subjects.TASKS_STREAM, 1)
    assert message.subject == f"wf.task.step.{run.id}.{task.step_id}.1"
    assert message.headers is not None
    assert message.headers[headers.TRACEPARENT].startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert message.headers[headers.IDEMPOTENCY_KEY] == f"{run.id}:{task.step_id}:1"
    event = await home.bus.js.get_msg(subjects.EVENTS_STREAM, 1)
    assert event.headers is not None
    assert (event.subject, event.headers["Nats-Msg-Id"]) == (f"wf.event.run.{run.id}", f"{run.id}:1")


async def test_nothing_is_lost_while_the_broker_is_killed_and_started(home, nats_server: NatsServer):
    await home.create(agent("a"))
    runs: list[str] = []

    async def start_many() -> None:
        for _ in range(60):
            runs.append((await home.start()).id)
            await asyncio.sleep(0.005)

    starting = asyncio.ensure_future(start_many())
    for _ in range(2):
        await asyncio.sleep(0.05)
        await asyncio.to_thread(nats_server.restart)
        await eventually(lambda: home.bus.connected)
    await starting
    await everything_is_told(home)
    assert {task.run_id for task in await home.tasks()} == set(runs)


async def test_what_is_committed_while_the_broker_is_away_is_sent_when_it_is_back(home, nats_server: NatsServer):
    await home.create(waiting("w"))
    await asyncio.to_thread(nats_server.kill)
    await eventually(lambda: not home.bus.connected)
    runs = [await home.start() for _ in range(20)]
    assert home.scheduler.relay.depth == len(runs) == len(home.rows("SELECT 1 FROM outbox"))
    await asyncio.to_thread(nats_server.start)
    await everything_is_told(home)
    assert home.scheduler.relay.depth == 0


async def test_after_a_wipe_streams_and_tasks_are_made_anew(home, nats_server: NatsServer):
    await home.create(agent("a"))
    runs = [(await home.start()).id for _ in range(5)]
    await home.drained()
    await asyncio.to_thread(nats_server.wipe)
    await eventually(lambda: home.bus.connected)
    home.scheduler.reconcile._soon.set()
    runs += [(await home.start()).id]
    async with asyncio.timeout(20):
        found: set[str] = set()
        while found != set(runs):
            with contextlib.suppress(Exception):
                found = {task.run_id for task in await home.tasks()}
            await asyncio.sleep(0.02)
    await home.drained()
    events = await told(home)
    assert (runs[-1], 1) in events


async def test_a_broker_that_stands_still_loses_nothing(home, nats_server: NatsServer, monkeypatch):
    monkeypatch.setattr(relay, "_RESEND_MS", 300)
    await home.create(waiting("w"))
    nats_server.freeze()
    try:
        for _ in range(20):
            await home.start()
        before = relay.RESENT._value.get()
        await eventually(lambda: relay.RESENT._value.get() > before)
    finally:
        nats_server.thaw()
    await everything_is_told(home)


async def test_what_a_killed_scheduler_had_not_sent_is_sent_by_the_next(tmp_path, url, monkeypatch):
    monkeypatch.setattr(backlog, "_PAGE", 3)
    async with house(tmp_path, url, background=False) as first:
        await first.announce()
        await first.create(agent("a"))
        runs = {(await first.start()).id for _ in range(10)}
        assert len(first.rows("SELECT 1 FROM outbox")) == 10
    async with house(tmp_path, url) as second:
        assert (await second.start()).id not in runs, "new turns come on top"
        await everything_is_told(second)
        assert {task.run_id for task in await second.tasks()} > runs


async def test_memory_is_bounded_while_the_broker_is_away_and_nothing_is_left_out(home, nats_server, monkeypatch):
    monkeypatch.setattr(relay, "_MAX_QUEUED", 8)
    monkeypatch.setattr(backlog, "_PAGE", 3)
    await home.create(agent("a"))
    await asyncio.to_thread(nats_server.kill)
    await eventually(lambda: not home.bus.connected)
    await asyncio.gather(*(home.start() for _ in range(40)))
    assert len(home.scheduler.relay._queue) == 8
    assert home.scheduler.relay.depth == 40
    await asyncio.to_thread(nats_server.start)
    await everything_is_told(home)
    await home.start()
    await everything_is_told(home)
    assert home.scheduler.relay.depth == 0


async def test_the_age_of_the_outbox_counts_what_is_on_disk_only(tmp_path, url):
    clock = Clock()
    async with house(tmp_path, url, background=False, clock=clock) as first:
        await first.create(waiting("w"))
        await first.start()
    clock.advance(7)
    async with house(tmp_path, url, background=False, clock=clock) as second:
        await second.start()
        assert second.scheduler.relay.depth == 2
        assert age() == 7


def test_the_backlog_is_as_old_as_the_first_turn_that_was_left_to_it():
    found = backlog.Backlog()
    assert found.since is None
    for identity, created_at in ((5, 1_000), (6, 2_000)):
        assert found.leave(identity, created_at)
    assert found.since == 1_000


def age() -> float:
    found = metrics.REGISTRY.get_sample_value("station_outbox_age_seconds")
    assert found is not None
    return found


async def test_a_task_that_is_there_already_counts_as_delivered(tmp_path, url):
    async with house(tmp_path, url, background=False) as home:
        await home.announce()
        await home.create(agent("a"))
        await home.scheduler.reconcile.ensure_streams()
        run = await home.start()
        (step,) = home.open_steps(run.id)
        await home.bus.js.publish(subjects.task_step(run.id, step.step_id, 1), b"sent before the scheduler was killed")
        home.run_background()
        await everything_is_told(home)
        message = await home.bus.js.get_last_msg(subjects.TASKS_STREAM, subjects.task_step(run.id, step.step_id, 1))
        assert message.data == b"sent before the scheduler was killed"


async def test_a_stream_that_is_full_is_no_success(tmp_path, url):
    """The broker's code for a full subject is also the one for a full disk and a full stream."""
    async with house(tmp_path, url, background=False) as home:
        await home.announce()
        await home.create(waiting("w"))
        await home.scheduler.reconcile.ensure_streams()
        full = StreamConfig(
            name=subjects.EVENTS_STREAM, subjects=list(subjects.EVENTS_SUBJECTS), max_msgs=1, discard=DiscardPolicy.NEW
        )
        await home.bus.js.delete_stream(subjects.EVENTS_STREAM)
        await home.bus.js.add_stream(full)
        await home.start()
        relaying = asyncio.ensure_future(home.scheduler.relay.run())
        before = relay.RESENT._value.get()
        await eventually(lambda: relay.RESENT._value.get() > before + 1)
        assert home.rows("SELECT count(*) FROM outbox") == [(1,)]
        await home.bus.js.update_stream(full.evolve(max_msgs=-1))
        await home.drained()
        relaying.cancel()


async def test_a_message_that_the_broker_does_not_take_blocks_nothing(tmp_path):
    directory = tmp_path / "nats"
    directory.mkdir()
    config = directory / "nats.conf"
    server = NatsServer(directory, config=config)
    config.write_text(
        f"listen: 127.0.0.1:{server.port}\nmax_payload: 65536\njetstream {{ store_dir: '{server.store}' }}\n",
        encoding="utf-8",
    )
    with server:
        async with house(tmp_path, server.url) as home:
            await home.announce()
            await home.create(waiting("w"))
            run = await home.start(input={"text": "x" * 100_000})
            await home.drained()
            events = await told(home)
            places = [place for place in committed(home) if place not in events]
            assert places == [(run.id, 1)], "only the event with the input is too large"
            page = await home.by.queries.run(GetRun(run_id=run.id), CONTEXT)
            assert len(page.input["text"]) == 100_000


async def test_a_task_that_is_handed_out_again_replaces_the_one_that_is_stuck(tmp_path, url):
    clock = Clock()
    async with house(tmp_path, url, clock=clock) as home:
        await home.announce()
        await home.create(agent("a"))
        run = await home.start()
        await home.drained()
        (step,) = home.open_steps(run.id)
        subject = subjects.task_step(run.id, step.step_id, 1)
        stuck = await home.bus.js.get_last_msg(subjects.TASKS_STREAM, subject)
        subscription = await home.bus.js.pull_subscribe_bind(subjects.RUNNER_CONSUMER, subjects.TASKS_STREAM)
        await subscription.fetch(1, timeout=5)  # a runner takes it along and dies
        (claim,) = await home.claim(step)
        clock.advance(60)
        home.scheduler.reconcile._soon.set()
        await eventually(lambda: "step_redispatched" in home.events(run.id))
        await home.drained()
        again = await home.bus.js.get_last_msg(subjects.TASKS_STREAM, subject)
        assert again.seq is not None
        assert stuck.seq is not None
        assert again.seq > stuck.seq
        (delivered,) = await subscription.fetch(1, timeout=5)
        assert delivered.subject == subject
        assert await home.report(step, claim.token, 1) == "fenced"


async def test_rows_that_cannot_be_deleted_now_are_deleted_later(home):
    await home.create(timer("t", 0))
    submit, failures = home.writer.submit, 2

    def failing(unit: Any) -> asyncio.Future[None]:
        nonlocal failures
        if failures and any("DELETE FROM outbox" in statement for statement, _ in unit.statements):
            failures -= 1
            unit.add_guarded("DELETE FROM workflows WHERE workflow_id = 'nobody'", ())
        return submit(unit)

    home.writer.submit = failing
    await home.start()
    await home.drained()
    assert failures == 0


async def test_stops_are_told_to_runners(home, url):
    await home.create(agent("a"))
    run = await home.start()
    (claim,) = await home.claim(*home.open_steps(run.id))
    bus = await Bus.connect(url, name="runner")
    try:
        subscription = await bus.nc.subscribe(subjects.CANCEL_FILTER)
        await bus.flush()
        await home.control("cancel", run.id)
        message = await subscription.next_msg(timeout=10)
        assert message.subject == subjects.control_cancel(run.id)
        assert msgspec.msgpack.decode(message.data)["steps"][0]["token"] == claim.token
    finally:
        await bus.close()
