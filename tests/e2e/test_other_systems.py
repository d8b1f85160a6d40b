"""NATS as a front door: other systems, in any language, start and signal runs with plain NATS tools and no HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from station.contracts import subjects
from station.contracts.health import DoctorReport, RunDoctor
from station.runtime.broker import inbox_prefix
from station.runtime.bus import Bus
from tests.e2e.workflows import agent, ask, store, wait_signal
from tests.support.driver import ok
from tests.support.node import run_script
from tests.support.system import SERVICES, System

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
    store(system, "front-door", agent("begin", "ok", next="wait"), wait_signal("wait", "go", next="end"), agent("end", "ok"))
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


async def test_plain_messages_start_signal_and_decide(system: System, other: Client) -> None:
    store(system, "three-doors", wait_signal("wait", "go", next="ask"), ask("ask", approvers=["user:carol"]))
    run_id = new_id()
    events = await other.subscribe(f"wf.event.*.{run_id}.>")
    ends = await other.subscribe(f"wf.event.run.{run_id}")
    await other.flush()
    start = {"workflowId": "three-doors", "input": {"n": 1}, "environment": "test"}
    await publish(other, subjects.task_run(run_id), start)
    await until(events, "state_entered")
    # Sent twice, as somebody does who is not sure: it counts once.
    for _ in range(2):
        await other.publish(subjects.task_run(run_id), msgspec.json.encode(start))
        await other.publish(subjects.task_resume(run_id), b'{"name": "go", "payload": 1, "id": "once"}')
    asked = await until(events, "approval_requested")
    decision = {"approvalId": asked["data"]["approvalId"], "decision": "approve", "by": "carol", "comment": "fine"}
    await publish(other, subjects.task_resume(run_id), decision)
    await until(ends, "run_completed")
    assert len(system.events(run_id, "signal_received")) == 1
    [approval] = system.approvals(run_id)
    assert [(one["by"], one["comment"]) for one in approval["decisions"]] == [("user:carol", "fine")]


async def test_requests_are_answered_on_the_bus(system: System, workflow: str, other: Client) -> None:
    start = msgspec.json.encode({"workflowId": workflow, "input": {}, "environment": "test", "actor": "bus:me"})
    answer = await other.request(subjects.RUN_START, start, timeout=5)
    run = json.loads(answer.data)
    system.wait_event(run["id"], "state_entered", lambda event: event["data"]["stateName"] == "wait")
    shown = await other.request(subjects.QUERY_RUN, msgspec.json.encode({"runId": run["id"]}), timeout=5)
    assert json.loads(shown.data)["workflowId"] == workflow
    refused = await other.request(subjects.QUERY_RUN, b'{"runId": "nobody"}', timeout=5)
    assert refused.headers is not None
    assert refused.headers["Nats-Service-Error-Code"] == "404"
    assert json.loads(refused.data)["code"] == "run_not_found"
    ok(system.control(run["id"], "cancel"))


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
        while (await bus.js.stream_info(subjects.TASKS_STREAM)).state.messages:
            await asyncio.sleep(0.02)
    # The stream has forgotten them, so they cannot come again; and what is well goes through as before.
    run_id = new_id()
    await publish(other, subjects.task_run(run_id), {"workflowId": workflow, "environment": "test"})
    await publish(other, subjects.task_resume(run_id), {"name": "go"})
    await retried(lambda: system.api.get(f"/workflow-runs/{run_id}").status_code == 200)
    system.finish(run_id)
    assert set(await letters(bus, set(broken))) == set(broken)
    assert set_aside(system) == before + len(broken)


async def test_every_service_shows_up_in_discovery(system: System, other: Client) -> None:
    inbox = other.new_inbox()
    answers = await other.subscribe(inbox)
    await other.flush()
    await other.publish("$SRV.PING", reply=inbox)
    names: set[str] = set()
    while len(names) < len(SERVICES):
        names.add(json.loads((await answers.next_msg(timeout=5)).data)["name"])
    assert names == {f"station-{name}" for name in SERVICES}
    information = await other.request("$SRV.INFO.station-scheduler", b"", timeout=5)
    assert subjects.RUN_START in {endpoint["subject"] for endpoint in json.loads(information.data)["endpoints"]}


async def until(events: Any, kind: str) -> dict[str, Any]:
    """The next event of that type."""
    async with asyncio.timeout(SECONDS):
        async for message in events.messages:
            event = json.loads(message.data)
            if event["type"] == kind:
                return event
    raise AssertionError(f"no {kind} came")


async def retried(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not holds():
            await asyncio.sleep(0.02)


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
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if "intake_total{" in line and 'outcome="set_aside"' in line)
