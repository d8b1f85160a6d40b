"""What each user of the deployed broker may do, tried on a real server with the file that is deployed."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import StreamConfig

from station.contracts import subjects
from station.runtime.parts import MOST_PARTS

CONFIGURATION = Path(__file__).parents[2] / "deploy/nats/nats.conf"
SERVER = Path(sys.executable).parent / "nats-server"
SERVICES = ("scheduler", "gateway", "agent-runner", "approval-service")
REFUSED = re.compile(r'permissions violation for (?:publish|subscription) to "([^"]+)"', re.IGNORECASE)
LISTENING = re.compile(rb"Listening for client connections on (\S+)")

STEP, APPROVAL = subjects.task_step("run_1", "step_1", 1), subjects.task_approval("run_1", "step_1")
REMOTE = "agent.weather"
NEXT = "$JS.API.CONSUMER.MSG.NEXT.WORKFLOW_TASKS."

MAY_PUBLISH = {
    "scheduler": {
        subjects.event("run_1", None),
        subjects.event("run_1", "step_1"),
        STEP,
        APPROVAL,
        subjects.control_cancel("run_1"),
        subjects.INBOX_DECIDE,
        "$JS.API.STREAM.CREATE.WORKFLOW_TASKS",
    },
    "gateway": {subjects.RUN_START, subjects.QUERY_RUN, subjects.WORKFLOW_CREATE, subjects.INBOX_DECIDE},
    "agent-runner": {
        subjects.STEP_CLAIM,
        subjects.STEP_HEARTBEAT,
        subjects.STEP_REPORT,
        subjects.STEP_RELEASE,
        subjects.RUNNER_ANNOUNCE,
        subjects.LETTER_KEEP,
        REMOTE,
        NEXT + subjects.RUNNER_CONSUMER,
    },
    "approval-service": {
        subjects.APPROVAL_DECIDE,
        subjects.QUERY_APPROVAL,
        subjects.QUERY_RUN,
        subjects.LETTER_KEEP,
        NEXT + subjects.APPROVAL_CONSUMER,
    },
    "external": {
        subjects.task_run("run_1"),
        subjects.task_resume("run_1"),
        subjects.RUN_START,
        subjects.QUERY_RUN,
        subjects.QUERY_APPROVAL,
        subjects.REMOTE_REPLY + "reply_1",
    },
}
MAY_SUBSCRIBE = {
    "scheduler": {
        subjects.RUN_START,
        subjects.STEP_CLAIM,
        subjects.APPROVAL_DECIDE,
        subjects.STARTED_FILTER,
        "$SRV.PING",
    },
    "gateway": {subjects.EVENTS_FILTER, subjects.STARTED_FILTER, "$SRV.PING"},
    "agent-runner": {subjects.CANCEL_FILTER, subjects.STARTED_FILTER, "$SRV.PING"},
    "approval-service": {
        subjects.INBOX_DECIDE,
        subjects.INBOX_LIST,
        subjects.EVENTS_FILTER,
        subjects.STARTED_FILTER,
        "$SRV.PING",
    },
    "external": {subjects.EVENTS_FILTER, REMOTE},
}
EVERY_PUBLISH = sorted(set().union(*MAY_PUBLISH.values()))
EVERY_SUBSCRIBE = sorted(set().union(*MAY_SUBSCRIBE.values(), {f"_INBOX_{name}.>" for name in SERVICES}))
# What else falls under a user's rights, though another user's list names it.
ALSO_PUBLISH = {
    "gateway": {subjects.QUERY_APPROVAL},
    "scheduler": {
        NEXT + subjects.RUNNER_CONSUMER,
        NEXT + subjects.APPROVAL_CONSUMER,
    },
}

Connect = Callable[[str], Awaitable[tuple[Client, "asyncio.Queue[str]"]]]


@pytest.fixture
async def connect(tmp_path: Path) -> AsyncIterator[Connect]:
    """Start the server with the deployed file, moved to a free port on loopback; hand out connections by user."""
    text = CONFIGURATION.read_text()
    for deployed, here in (
        ('"0.0.0.0:4222"', '"127.0.0.1:-1"'),
        ('http: "127.0.0.1:8222"', ""),
        ('"/data"', f'"{tmp_path}/store"'),
    ):
        assert deployed in text
        text = text.replace(deployed, here)
    (tmp_path / "nats.conf").write_text(text)
    passwords = dict.fromkeys(re.findall(r"\$(NATS_\w+)", text), "secret")
    server = await asyncio.create_subprocess_exec(
        SERVER, "-c", tmp_path / "nats.conf", env=os.environ | passwords, stderr=asyncio.subprocess.PIPE
    )
    assert server.stderr
    while (found := LISTENING.search(line := await server.stderr.readline())) is None:
        assert line, "the server ended before it listened"
    drain = asyncio.create_task(server.stderr.read())
    async with contextlib.AsyncExitStack() as connections:

        async def connection(user: str) -> tuple[Client, asyncio.Queue[str]]:
            errors: asyncio.Queue[str] = asyncio.Queue()

            async def error(raised: Exception) -> None:
                errors.put_nowait(str(raised))

            prefix = "_INBOX" if user == "external" else f"_INBOX_{user}"
            address = f"nats://{user}:secret@{found.group(1).decode()}"
            client = await nats.connect(address, inbox_prefix=prefix.encode(), error_cb=error, allow_reconnect=False)
            connections.push_async_callback(client.close)
            return client, errors

        yield connection
    server.terminate()
    await server.wait()
    await drain


async def allowed(
    subjects_tried: list[str], send: Callable[[str], Awaitable[object]], errors: "asyncio.Queue[str]"
) -> set[str]:
    """The subjects of which the server did not complain; the complaint about one that nobody may use ends the list."""
    for subject in (*subjects_tried, "barrier"):
        await send(subject)
    refused: set[str] = set()
    while "barrier" not in refused:
        refused.add(REFUSED.search(await errors.get()).group(1))  # pyright: ignore[reportOptionalMemberAccess]
    return {subject for subject in subjects_tried if subject.lower() not in refused}


@pytest.mark.parametrize("user", MAY_PUBLISH)
async def test_a_user_publishes_only_what_is_its_own(connect: Connect, user: str) -> None:
    client, errors = await connect(user)
    published = await allowed(EVERY_PUBLISH, lambda subject: client.publish(subject, b""), errors)
    assert published == MAY_PUBLISH[user] | ALSO_PUBLISH.get(user, set())


@pytest.mark.parametrize("user", MAY_SUBSCRIBE)
async def test_a_user_subscribes_only_to_what_concerns_it(connect: Connect, user: str) -> None:
    client, errors = await connect(user)
    own = {f"_INBOX_{user}.>"} if user in SERVICES else set[str]()
    assert await allowed(EVERY_SUBSCRIBE, client.subscribe, errors) == MAY_SUBSCRIBE[user] | own


async def test_a_request_to_the_scheduler_is_answered_in_as_many_parts_as_it_may_have(connect: Connect) -> None:
    scheduler, _ = await connect("scheduler")
    gateway, _ = await connect("gateway")

    async def answer(message: Msg) -> None:
        for number in range(MOST_PARTS):
            await message.respond(b"%d" % number)

    await scheduler.subscribe(subjects.RUN_START, cb=answer)
    await scheduler.flush()
    await scheduler.flush()  # the first ping may have overtaken the subscription
    inbox = gateway.new_inbox()
    parts = await gateway.subscribe(inbox)
    await gateway.publish(subjects.RUN_START, b"", inbox)
    assert [int((await parts.next_msg(timeout=5)).data) for _ in range(MOST_PARTS)] == [*range(MOST_PARTS)]


async def test_the_runner_takes_and_acknowledges_a_task_that_the_scheduler_published(connect: Connect) -> None:
    scheduler, _ = await connect("scheduler")
    runner, errors = await connect("agent-runner")
    await scheduler.jetstream().add_stream(
        StreamConfig(name=subjects.TASKS_STREAM, subjects=[*subjects.TASKS_SUBJECTS])
    )
    await scheduler.jetstream().add_consumer(
        subjects.TASKS_STREAM,
        durable_name=subjects.RUNNER_CONSUMER,
        filter_subject=subjects.RUNNER_FILTER,
        ack_policy="explicit",
    )
    await scheduler.jetstream().publish(STEP, b"work")
    consumer = await runner.jetstream().pull_subscribe_bind(subjects.RUNNER_CONSUMER, subjects.TASKS_STREAM)
    [task] = await consumer.fetch(1, timeout=5)
    await task.ack_sync()
    assert task.data == b"work"
    assert errors.empty()


async def test_another_system_starts_a_run_with_an_ordinary_client(connect: Connect) -> None:
    scheduler, _ = await connect("scheduler")
    other, _ = await connect("external")
    await scheduler.jetstream().add_stream(
        StreamConfig(name=subjects.TASKS_STREAM, subjects=[*subjects.TASKS_SUBJECTS])
    )
    stored = await other.jetstream().publish(subjects.task_run("run_1"), b"{}")
    assert stored.stream == subjects.TASKS_STREAM


async def test_nobody_connects_without_a_password(connect: Connect) -> None:
    client, _ = await connect("external")
    address = client.connected_url
    assert address is not None
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(b"CONNECT {}\r\nPING\r\n")
    assert (await reader.readline()).startswith(b"INFO")
    assert b"Authorization Violation" in await reader.readline()
    writer.close()
    await writer.wait_closed()
