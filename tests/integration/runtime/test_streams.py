"""Streams and fetching: what the broker forgets is made again, and nothing turns into a hot loop."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from nats.aio.msg import Msg
from nats.errors import Error
from nats.js.errors import APIError

from station.contracts import subjects
from station.runtime.bus import Bus
from station.runtime.streams import FETCH_FAILURES, Fetcher, ensure_consumer, ensure_streams
from tests.support.nats import NatsServer, nats_server  # noqa: F401

TASKS, CONSUMER = subjects.TASKS_STREAM, subjects.RUNNER_CONSUMER
ALREADY_THERE = 10077


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:  # noqa: F811
    connection = await Bus.connect(nats_server.url, name="test")
    yield connection
    await connection.close()


async def ensure(bus: Bus) -> None:
    await ensure_streams(bus)
    await ensure_consumer(bus, TASKS, CONSUMER, subjects.RUNNER_FILTER, ack_wait=30)


async def publish(bus: Bus, step: str) -> None:
    await bus.js.publish(subjects.task_step("run_1", step, 1), step.encode())


async def reconnected(bus: Bus, server: NatsServer, how: str) -> None:
    back = asyncio.Event()
    bus.on_reconnect(back.set)
    getattr(server, how)()
    await asyncio.wait_for(back.wait(), 10)


async def test_only_what_was_missing_counts_as_created(bus: Bus) -> None:
    assert await ensure_streams(bus)
    before = [await bus.js.stream_info(name) for name in (TASKS, subjects.EVENTS_STREAM)]
    assert not await ensure_streams(bus)
    after = [await bus.js.stream_info(name) for name in (TASKS, subjects.EVENTS_STREAM)]
    assert [one.config for one in before] == [one.config for one in after]
    await bus.js.delete_stream(TASKS)
    assert await ensure_streams(bus)


async def test_a_stream_with_other_settings_is_updated(bus: Bus) -> None:
    await bus.js.add_stream(name=subjects.EVENTS_STREAM, subjects=["wf.event.run.>"], max_age=60)
    await publish_event(bus)
    assert await ensure_streams(bus)
    info = await bus.js.stream_info(subjects.EVENTS_STREAM)
    assert (info.config.subjects, info.config.max_age) == (["wf.event.>"], 7 * 24 * 3600)
    assert info.state.messages == 1


async def publish_event(bus: Bus) -> None:
    await bus.js.publish("wf.event.run.run_1", b"{}")


async def test_a_task_that_is_still_there_is_not_taken_twice(bus: Bus) -> None:
    await ensure(bus)
    await publish(bus, "s1")
    with pytest.raises(APIError) as caught:
        await publish(bus, "s1")
    assert caught.value.err_code == ALREADY_THERE
    [message] = await Fetcher(bus, TASKS, CONSUMER).fetch(10, 5)
    await message.ack_sync()
    await publish(bus, "s1")


async def test_a_purged_task_can_be_published_anew_at_once(bus: Bus) -> None:
    await ensure(bus)
    subject = subjects.task_step("run_1", "s1", 1)
    await bus.js.publish(subject, b"first")
    await bus.js.purge_stream(TASKS, subject=subject)
    await bus.js.publish(subject, b"second")
    [message] = await Fetcher(bus, TASKS, CONSUMER).fetch(10, 5)
    assert message.data == b"second"


async def test_each_consumer_takes_its_own_kind(bus: Bus) -> None:
    await ensure(bus)
    await ensure_consumer(bus, TASKS, subjects.APPROVAL_CONSUMER, subjects.APPROVAL_FILTER)
    await ensure_consumer(bus, TASKS, subjects.START_CONSUMER, subjects.START_FILTER)
    await ensure_consumer(bus, TASKS, subjects.RESUME_CONSUMER, subjects.RESUME_FILTER)
    await publish(bus, "s1")
    await bus.js.publish(subjects.task_approval("run_1", "s2"), b"ask")
    [task] = await Fetcher(bus, TASKS, CONSUMER).fetch(10, 5)
    [approval] = await Fetcher(bus, TASKS, subjects.APPROVAL_CONSUMER).fetch(10, 5)
    assert (task.data, approval.data) == (b"s1", b"ask")


async def test_a_consumer_is_changed_by_ensuring_it(bus: Bus) -> None:
    await ensure(bus)
    await ensure_consumer(bus, TASKS, CONSUMER, subjects.RUNNER_FILTER, ack_wait=7)
    config = (await bus.js.consumer_info(TASKS, CONSUMER)).config
    assert (config.ack_wait, config.max_deliver) == (7, -1)


async def test_silence_is_an_empty_batch(bus: Bus) -> None:
    await ensure(bus)
    fetcher = Fetcher(bus, TASKS, CONSUMER)
    assert await fetcher.fetch(1, 0.05) == []
    assert await fetcher.fetch(10, 0.05) == []


async def test_batches_come_for_ever(bus: Bus) -> None:
    await ensure(bus)
    for number in range(7):
        await publish(bus, f"s{number}")
    taken: list[bytes] = []
    async for batch in Fetcher(bus, TASKS, CONSUMER).batches(max=3):
        assert len(batch) <= 3
        for message in batch:
            taken.append(message.data)
            await message.ack()
        if len(taken) == 7:
            break
    assert taken == [f"s{number}".encode() for number in range(7)]


async def test_a_task_under_way_survives_a_killed_broker(bus: Bus, nats_server: NatsServer) -> None:  # noqa: F811
    await ensure(bus)
    fetcher = Fetcher(bus, TASKS, CONSUMER, ensure=lambda: ensure(bus))
    await publish(bus, "s1")
    await reconnected(bus, nats_server, "restart")
    batch = await next_batch(fetcher)
    assert [message.data for message in batch] == [b"s1"]


async def test_after_a_wipe_the_fetcher_that_may_makes_everything_anew(bus: Bus, nats_server: NatsServer) -> None:  # noqa: F811
    await ensure(bus)
    fetcher = Fetcher(bus, TASKS, CONSUMER, ensure=lambda: ensure(bus))
    assert await fetcher.fetch(10, 0.05) == []
    await reconnected(bus, nats_server, "wipe")
    while not (await bus.js.account_info()).streams:
        await fetcher.fetch(10, 0.2)
    await publish(bus, "s1")
    assert [message.data for message in await next_batch(fetcher)] == [b"s1"]


async def test_without_the_right_to_create_the_fetcher_waits_for_who_has_it(bus: Bus) -> None:
    fetcher = Fetcher(bus, TASKS, CONSUMER)
    failures = FETCH_FAILURES.labels(consumer=CONSUMER)._value
    before = failures.get()
    loop = asyncio.get_running_loop()
    started = loop.time()
    for _ in range(5):
        assert await fetcher.fetch(10, 5) == []
    assert failures.get() == before + 5
    assert loop.time() - started >= 0.5, "every failure is followed by a pause"
    await ensure(bus)
    await publish(bus, "s1")
    assert [message.data for message in await next_batch(fetcher)] == [b"s1"]


async def test_a_failing_ensure_does_not_end_the_loop(bus: Bus) -> None:
    asked = 0

    async def refused() -> None:
        nonlocal asked
        asked += 1
        raise Error("no rights")

    fetcher = Fetcher(bus, TASKS, CONSUMER, ensure=refused)
    assert await fetcher.fetch(10, 5) == []
    assert await fetcher.fetch(10, 5) == []
    assert asked == 2


async def next_batch(fetcher: Fetcher) -> list[Msg]:
    async def first() -> list[Msg]:
        async for batch in fetcher.batches(max=10, timeout=0.5):
            return batch
        raise AssertionError

    return await asyncio.wait_for(first(), 15)
