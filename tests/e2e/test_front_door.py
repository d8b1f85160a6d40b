"""Another system with an ordinary NATS client and no HTTP: starts runs, signals them, decides, and follows."""

import json
from collections.abc import AsyncIterator

import nats
import pytest
from nats.aio.client import Client

from tests.e2e.workflows import agent, ask, store, wait_signal
from tests.support.system import System


@pytest.fixture
async def outside(system: System) -> AsyncIterator[Client]:
    client = await nats.connect(system.nats_url("external"))
    yield client
    await client.close()


async def send(client: Client, subject: str, body: object) -> None:
    """Return when the stream has it; it takes one message at a time on a subject, so each has one of its own."""
    await client.jetstream().publish(subject, body if isinstance(body, bytes) else json.dumps(body).encode())


async def test_a_run_from_outside(system: System, outside: Client) -> None:
    store(system, "outside", wait_signal("listen", "go", next="ask"), ask("ask", next="work"), agent("work", "echo"))
    told = await outside.subscribe("wf.event.run.outside-1")
    start = {"workflowId": "outside", "input": {"n": 1}, "environment": "test"}
    await send(outside, "wf.task.run.outside-1", start)
    created = json.loads((await told.next_msg(20)).data)
    assert (created["type"], created["seq"], created["data"]["input"]) == ("run_created", 1, {"n": 1})
    assert created["actor"].startswith("bus")
    system.wait_status("outside-1", "WAITING_SIGNAL")
    await send(outside, "wf.task.resume.outside-1.only-once", {"name": "go", "payload": "first"})
    asked = system.wait_approval("outside-1")
    await send(outside, "wf.task.run.outside-1", start)
    await send(outside, "wf.task.resume.outside-1.only-once", {"name": "go", "payload": "again"})
    decision = {"approvalId": asked["id"], "decision": "approve", "by": "alice"}
    await send(outside, "wf.task.resume.outside-1.decision", decision)
    run = system.finish("outside-1")
    assert run["context"]["steps"]["listen"] == "first"
    assert run["context"]["steps"]["ask"]["decidedBy"] == "user:alice"
    kinds = [event["type"] for event in system.events("outside-1")]
    assert kinds.count("run_created") == kinds.count("signal_received") == 1


async def test_a_question_is_answered_at_once(system: System, outside: Client) -> None:
    store(system, "outside-ok", agent("work", "ok"))
    body = {"workflowId": "outside-ok", "environment": "test", "runId": "outside-asked"}
    answer = await outside.request("wf.rpc.run.start", json.dumps(body).encode(), timeout=10)
    assert json.loads(answer.data)["id"] == "outside-asked"
    system.finish("outside-asked")
    refused = await outside.request("wf.rpc.run.pause", b'{"runId": "outside-asked"}', timeout=10)
    assert refused.headers is not None
    assert refused.headers["Nats-Service-Error-Code"] == "409"
    assert json.loads(refused.data)["context"]["status"] == "COMPLETED"


async def test_the_services_are_found(system: System, outside: Client) -> None:
    inbox = outside.new_inbox()
    answers = await outside.subscribe(inbox)
    await outside.publish("$SRV.PING", b"", reply=inbox)
    wanted = {"station-scheduler", "station-agent-runner", "station-approval-service", "station-gateway"}
    found: set[str] = set()
    while found != wanted:
        found.add(json.loads((await answers.next_msg(10)).data)["name"])
