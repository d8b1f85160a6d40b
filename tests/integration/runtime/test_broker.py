"""The bundled broker: every service can do its job, and none can do another's."""

import asyncio
import re
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import nats
import pytest
from nats.aio.client import Client

from station.contracts import subjects
from station.contracts.runs import GetRun
from station.contracts.work import CancelSteps, ClaimSteps, Done
from station.runtime.broker import RIGHTS, Broker, inbox_prefix, write_config
from station.runtime.bus import Bus, Unavailable
from station.runtime.rpc import Endpoint, RpcContext, serve
from station.runtime.streams import Fetcher, ensure_consumer, ensure_streams
from tests.support.nats import NatsServer, free_port

REFUSED = re.compile(r'permissions violation for (?:publish|subscription) to "([^"]+)"', re.IGNORECASE)
SERVICES = ("scheduler", "gateway", "agent-runner", "approval-service")
STEP, APPROVAL = subjects.task_step("run_1", "s1", 1), subjects.task_approval("run_1", "s1")
NEXT = f"$JS.API.CONSUMER.MSG.NEXT.{subjects.TASKS_STREAM}."
ACK = f"$JS.ACK.{subjects.TASKS_STREAM}."

# Who may publish what; everybody else is refused.
PUBLISHERS = {
    subjects.event("run_1", None): {"scheduler"},
    subjects.event("run_1", "s1"): {"scheduler"},
    STEP: {"scheduler"},
    APPROVAL: {"scheduler"},
    subjects.control_cancel("run_1"): {"scheduler"},
    "$JS.API.STREAM.CREATE.WORKFLOW_TASKS": {"scheduler"},
    "$JS.API.STREAM.PURGE.WORKFLOW_TASKS": {"scheduler"},
    "$JS.API.STREAM.DELETE.WORKFLOW_EVENTS": {"scheduler"},
    "$JS.API.STREAM.INFO.WORKFLOW_TASKS": {"scheduler", "cli"},
    NEXT + subjects.RUNNER_CONSUMER: {"scheduler", "agent-runner"},
    NEXT + subjects.APPROVAL_CONSUMER: {"scheduler", "approval-service"},
    f"{ACK}{subjects.RUNNER_CONSUMER}.1.1.1.1.0": {"scheduler", "agent-runner"},
    f"{ACK}{subjects.APPROVAL_CONSUMER}.1.1.1.1.0": {"scheduler", "approval-service"},
    subjects.task_run("run_1"): {"external"},
    subjects.task_resume("run_1"): {"external"},
    subjects.RUN_START: {"gateway", "external", "cli"},
    subjects.RUN_CANCEL: {"gateway", "external", "cli"},
    subjects.WORKFLOW_CREATE: {"gateway"},
    subjects.QUERY_RUN: {"gateway", "approval-service", "external", "cli"},
    subjects.STEP_CLAIM: {"agent-runner"},
    subjects.STEP_REPORT: {"agent-runner"},
    subjects.RUNNER_ANNOUNCE: {"agent-runner"},
    subjects.APPROVAL_DECIDE: {"approval-service"},
    subjects.INBOX_DECIDE: {"gateway", "cli", "scheduler"},
    subjects.control_started("station-scheduler"): {"scheduler", "approval-service"},
    "$SRV.PING": {"external", "cli"},
    "$SYS.REQ.SERVER.PING": set[str](),
    "_INBOX_gateway.x": set[str](),
}
SUBSCRIBERS = {
    subjects.EVENTS_FILTER: {"gateway", "approval-service", "external", "cli"},
    subjects.RUN_START: {"scheduler"},
    subjects.STEP_REPORT: {"scheduler"},
    subjects.APPROVAL_DECIDE: {"scheduler"},
    subjects.INBOX_DECIDE: {"approval-service"},
    subjects.CANCEL_FILTER: {"agent-runner"},
    subjects.STARTED_FILTER: set(SERVICES),
    subjects.RUNNER_FILTER: set[str](),
    "wf.>": set[str](),
    "$SRV.PING": set(SERVICES),
    **{f"_INBOX_{name}.>": {name} for name in SERVICES},
}


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    written = write_config(tmp_path, free_port())
    with NatsServer(tmp_path, config=written.config_path, port=written.port):
        yield written


Connect = Callable[[str], Awaitable[Bus]]


@pytest.fixture
async def connect(broker: Broker) -> AsyncIterator[Connect]:
    opened: list[Bus] = []

    async def connection(user: str) -> Bus:
        bus = await Bus.connect(broker.url_for(user), name=user, inbox_prefix=inbox_prefix(user))
        opened.append(bus)
        return bus

    yield connection
    for bus in opened:
        await bus.close()


async def allowed(
    broker: Broker, user: str, send: Callable[[Client, str], Awaitable[object]], tried: list[str]
) -> set[str]:
    """The subjects of which the server did not complain; the complaint about one that nobody may use ends the list."""
    complaints: asyncio.Queue[str] = asyncio.Queue()

    async def complained(error: Exception) -> None:
        if found := REFUSED.search(str(error)):
            complaints.put_nowait(found[1].lower())

    client = await nats.connect(
        broker.url_for(user), inbox_prefix=inbox_prefix(user), error_cb=complained, allow_reconnect=False
    )
    for subject in (*tried, "barrier"):
        await send(client, subject)
    refused: set[str] = set()
    while "barrier" not in refused:
        refused.add(await asyncio.wait_for(complaints.get(), 10))
    await client.close()
    return {subject for subject in tried if subject.lower() not in refused}


@pytest.mark.parametrize("user", RIGHTS)
async def test_a_user_publishes_only_what_is_its_own(broker: Broker, user: str) -> None:
    may = await allowed(broker, user, lambda client, subject: client.publish(subject, b""), list(PUBLISHERS))
    assert may == {subject for subject, users in PUBLISHERS.items() if user in users}


@pytest.mark.parametrize("user", RIGHTS)
async def test_a_user_reads_only_what_concerns_it(broker: Broker, user: str) -> None:
    may = await allowed(broker, user, lambda client, subject: client.subscribe(subject), list(SUBSCRIBERS))
    assert may == {subject for subject, users in SUBSCRIBERS.items() if user in users}


async def test_a_request_is_answered_across_users_and_a_forged_one_is_not(connect: Connect) -> None:
    scheduler, gateway, runner = [await connect(user) for user in ("scheduler", "gateway", "agent-runner")]

    async def done(_request: object, _context: RpcContext) -> Done:
        return Done()

    endpoints = [
        Endpoint(subjects.QUERY_RUN, GetRun, done),
        Endpoint(subjects.STEP_CLAIM, ClaimSteps, done),
    ]
    await serve(scheduler, name="station-scheduler", version="0.1.0", description="Decides.", endpoints=endpoints)
    claim = ClaimSteps(runner="r", boot=1, steps=())
    assert await gateway.request(subjects.QUERY_RUN, GetRun(run_id="run_1"), Done) == Done()
    assert await runner.request(subjects.STEP_CLAIM, claim, Done) == Done()
    with pytest.raises(Unavailable):
        await gateway.request(subjects.STEP_CLAIM, claim, Done, timeout=0.3)


@pytest.mark.parametrize(
    ("user", "consumer", "wanted", "subject"),
    [
        ("agent-runner", subjects.RUNNER_CONSUMER, subjects.RUNNER_FILTER, STEP),
        ("approval-service", subjects.APPROVAL_CONSUMER, subjects.APPROVAL_FILTER, APPROVAL),
        ("scheduler", subjects.START_CONSUMER, subjects.START_FILTER, subjects.task_run("run_1")),
        ("scheduler", subjects.RESUME_CONSUMER, subjects.RESUME_FILTER, subjects.task_resume("run_1")),
    ],
)
async def test_a_task_goes_from_its_publisher_to_its_consumer(
    connect: Connect, user: str, consumer: str, wanted: str, subject: str
) -> None:
    scheduler = await connect("scheduler")
    await ensure_streams(scheduler)
    await ensure_consumer(scheduler, subjects.TASKS_STREAM, consumer, wanted)
    publisher = await connect("external") if user == "scheduler" else scheduler
    taker = await connect(user)
    await publisher.js.publish(subject, b"work")
    [message] = await Fetcher(taker, subjects.TASKS_STREAM, consumer).fetch(10, 10)
    await message.in_progress()
    await message.ack_sync()
    assert (await scheduler.js.stream_info(subjects.TASKS_STREAM)).state.messages == 0


async def test_runners_hear_of_a_cancelled_run(connect: Connect) -> None:
    scheduler, runner = await connect("scheduler"), await connect("agent-runner")
    subscription = await runner.nc.subscribe(subjects.CANCEL_FILTER)
    await runner.flush()
    await scheduler.publish(subjects.control_cancel("run_1"), CancelSteps(run_id="run_1"))
    assert (await subscription.next_msg(5)).subject == subjects.control_cancel("run_1")


async def test_other_systems_follow_events_and_discover_the_services(connect: Connect) -> None:
    scheduler, other = await connect("scheduler"), await connect("external")
    for name in SERVICES:
        bus = scheduler if name == "scheduler" else await connect(name)
        await serve(bus, name=f"station-{name}", version="0.1.0", description="x", endpoints=[])
    await ensure_streams(scheduler)
    events = await other.nc.subscribe(subjects.EVENTS_FILTER)
    inbox = other.nc.new_inbox()
    pongs = await other.nc.subscribe(inbox)
    await other.flush()
    await other.nc.publish("$SRV.PING", reply=inbox)
    answers = [msgspec.json.decode((await pongs.next_msg(5)).data)["name"] for _ in SERVICES]
    assert sorted(answers) == sorted(f"station-{name}" for name in SERVICES)
    await scheduler.js.publish(subjects.event("run_1", None), b"{}")
    assert (await events.next_msg(5)).data == b"{}"


async def test_nobody_connects_without_a_password(broker: Broker) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
    writer.write(b"CONNECT {}\r\nPING\r\n")
    assert (await reader.readline()).startswith(b"INFO")
    assert b"Authorization Violation" in await reader.readline()
    writer.close()
    await writer.wait_closed()


def test_passwords_stay_the_same_private_and_out_of_sight(tmp_path: Path) -> None:
    first = write_config(tmp_path, 4222)
    again = write_config(tmp_path, 4333, sync="always", monitor_port=8222)
    assert first.passwords == again.passwords
    assert len(set(first.passwords.values())) == len(RIGHTS)
    assert again.url_for("gateway") == f"nats://gateway:{first.passwords['gateway']}@127.0.0.1:4333"
    for path in (tmp_path / "credentials", first.config_path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not any(password in repr(first) for password in first.passwords.values())


async def test_sync_and_monitoring_are_taken_by_the_server(tmp_path: Path) -> None:
    monitor = free_port()
    broker = write_config(tmp_path, free_port(), sync="always", monitor_port=monitor)
    with NatsServer(tmp_path, config=broker.config_path, port=broker.port):
        reader, writer = await asyncio.open_connection("127.0.0.1", monitor)
        writer.write(b"GET /varz HTTP/1.0\r\n\r\n")
        varz = msgspec.json.decode((await reader.read()).partition(b"\r\n\r\n")[2])
        writer.close()
        await writer.wait_closed()
    assert varz["jetstream"]["config"]["sync_always"] is True
    assert (varz["host"], varz["max_payload"]) == ("127.0.0.1", 8 * 1024 * 1024)
    assert varz["jetstream"]["config"]["store_dir"].startswith(str(tmp_path))
