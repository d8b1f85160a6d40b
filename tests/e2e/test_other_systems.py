"""Other systems in other languages, and what becomes of messages that nobody can use."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import msgspec
import nats
import pytest
from nats.aio.client import Client

from station.contracts import subjects
from station.contracts.health import DoctorReport, RunDoctor
from station.runtime.broker import inbox_prefix
from station.runtime.bus import Bus
from tests.e2e.workflows import agent, store, wait_signal
from tests.support.driver import ok
from tests.support.node import run_script
from tests.support.system import System

SCRIPT = Path(__file__).parent / "node" / "other-system.mjs"
SECONDS = 20


@pytest.fixture
async def other(system: System) -> AsyncIterator[Client]:
    """The ordinary client of another system."""
    client = await nats.connect(system.nats_url("external"))
    yield client
    await client.close()


@pytest.fixture
async def bus(system: System) -> AsyncIterator[Bus]:
    """The command line's connection: it may ask the doctor, and look at streams."""
    connected = await Bus.connect(system.nats_url("cli"), name="test", inbox_prefix=inbox_prefix("cli"))
    yield connected
    await connected.close()


@pytest.fixture
def workflow(system: System) -> str:
    """A run of it calls an agent, waits for a signal, and calls another."""
    store(
        system,
        "front-door",
        agent("begin", "ok", next="wait"),
        wait_signal("wait", "go", next="end"),
        agent("end", "ok"),
    )
    return "front-door"


def new_id() -> str:
    return f"other-{uuid4().hex}"


async def publish(client: Client, subject: str, message: object) -> None:
    """Publish, and know that the stream has it."""
    body = message if isinstance(message, bytes) else msgspec.json.encode(message)
    answer = json.loads((await client.request(subject, body, timeout=5)).data)
    assert answer["stream"] == subjects.TASKS_STREAM, answer


def test_a_node_script_starts_a_run_follows_it_and_signals_it(system: System, workflow: str) -> None:
    run_id = new_id()
    finished = run_script(SCRIPT, workflow, run_id, environment={"NATS_URL": system.nats_url("external")})
    assert finished.returncode == 0, finished.stderr
    seen = [json.loads(line) for line in finished.stdout.splitlines()]
    assert seen == system.events(run_id), "what it saw on NATS is what the API tells, in the same words"
    run = system.run(run_id)
    assert (run["status"], run["startedBy"], run["input"]) == ("COMPLETED", "bus:other-system", {"from": "node"})
    assert run["context"]["steps"]["wait"] == {"said": "by node"}


async def test_what_nobody_can_use_is_set_aside_counted_listed_and_never_tried_again(
    system: System, workflow: str, other: Client, bus: Bus
) -> None:
    ended = new_id()
    ok(system.post_run(workflow, runId=ended))
    ok(system.control(ended, "cancel"))
    broken = {
        subjects.task_run(new_id()): (b'{"workflowId": ', "not readable"),
        subjects.task_run(new_id()): (b'{"workflowId": "no-such-workflow"}', "workflow_not_found"),
        subjects.task_resume(new_id()): (b'{"name": "go"}', "run_not_found"),
        subjects.task_resume(ended): (b'{"name": "go"}', "run_ended"),
    }
    before = set_aside(system)
    for subject, (body, _) in broken.items():
        await publish(other, subject, body)
    reasons = await letters(bus, set(broken))
    for subject, (_, reason) in broken.items():
        assert reasons[subject].startswith(reason)
    assert set_aside(system) == before + len(broken)
    async with asyncio.timeout(SECONDS):
        while (await bus.js.stream_info(subjects.TASKS_STREAM)).state.messages:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)
    # The stream has forgotten them, so they cannot come again.
    assert set(await letters(bus, set(broken))) == set(broken)
    assert set_aside(system) == before + len(broken)


async def test_a_signal_published_right_after_the_start_reaches_the_run(
    system: System, workflow: str, other: Client
) -> None:
    runs = [new_id() for _ in range(20)]
    for run_id in runs:
        await publish(other, subjects.task_run(run_id), {"workflowId": workflow, "environment": "test"})
        await publish(other, subjects.task_resume(run_id), {"name": "go"})
    for run_id in runs:
        assert system.wait_run(run_id)["id"] == run_id
        system.finish(run_id)


async def letters(bus: Bus, wanted: set[str]) -> dict[str, str]:
    """Why messages were set aside, by subject, once all of these are."""
    async with asyncio.timeout(SECONDS):
        while True:
            report = await bus.request(subjects.QUERY_DOCTOR, RunDoctor(limit=1), DoctorReport, timeout=10)
            found = {letter.subject: letter.detail for letter in report.dead_letters if letter.subject in wanted}
            if set(found) == wanted:
                return found
            await asyncio.sleep(0.05)


def set_aside(system: System) -> float:
    """How many messages the scheduler counts as set aside."""
    where = json.loads((system.data_dir / "run" / "scheduler.json").read_text())["url"]
    lines = httpx.get(f"{where}/metrics").text.splitlines()
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in lines if "intake_total{" in line and 'outcome="set_aside"' in line
    )
