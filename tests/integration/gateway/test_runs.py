"""Starting and steering runs over HTTP: what reaches the scheduler, and what comes back."""

import asyncio

import httpx
import pytest

from station.contracts import subjects
from station.contracts.problems import Problem
from station.runtime.rpc import refuse
from tests.integration.gateway.conftest import Start
from tests.support.fake_scheduler import FakeScheduler, run_view

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_run_is_started_as_it_was_asked_for(http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
    body = {
        "workflowId": "triage",
        "version": 3,
        "input": {"n": 9223372036854775807, "text": "ü"},
        "environment": "prod",
        "labels": {"team": "ops"},
        "runId": "mine-1",
    }
    headers = {"Idempotency-Key": "k 1", "X-Station-User": "alice", "traceparent": TRACE}
    answer = await http.post("/workflow-runs", json=body, headers=headers)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/api/v1/workflow-runs/mine-1"
    assert answer.headers["idempotency-key"] == "k 1"
    assert answer.json()["id"] == "mine-1"
    asked = scheduler.last(subjects.RUN_START)
    assert (asked.workflow_id, asked.version, asked.environment, asked.labels) == ("triage", 3, "prod", {"team": "ops"})
    assert asked.input == body["input"]
    assert (asked.actor, asked.idempotency_key, asked.traceparent) == ("user:alice", "k 1", TRACE)


async def test_without_a_key_one_is_made_and_told(http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
    answer = await http.post("/workflow-runs", json={"workflowId": "triage"}, headers={"traceparent": "broken"})
    asked = scheduler.last(subjects.RUN_START)
    assert asked.idempotency_key == answer.headers["idempotency-key"]
    assert asked.idempotency_key
    assert asked.actor == "user:local"
    assert asked.traceparent is None


async def test_a_lost_answer_is_asked_for_again_with_the_same_key(
    http: httpx.AsyncClient, scheduler: FakeScheduler
) -> None:
    lost = asyncio.Event()

    async def answer_second(request: object) -> object:
        if not lost.is_set():
            lost.set()
            await asyncio.Event().wait()
        return run_view("run_1")

    scheduler.answers[subjects.RUN_START] = answer_second
    answer = await http.post("/workflow-runs", json={"workflowId": "triage"})
    assert answer.status_code == 201
    keys = {request.idempotency_key for subject, request, _ in scheduler.asked if subject == subjects.RUN_START}
    assert keys == {answer.headers["idempotency-key"]}
    assert len([1 for subject, *_ in scheduler.asked if subject == subjects.RUN_START]) == 2


async def test_without_a_scheduler_503_names_the_key(start: Start) -> None:
    gateway = await start(request_seconds=0.3)
    answer = await gateway.client.post("/workflow-runs", json={"workflowId": "triage"})
    problem = answer.json()
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "1"
    assert problem["code"] == "unavailable"
    assert problem["idempotencyKey"] == answer.headers["idempotency-key"]
    assert "Idempotency-Key" in problem["detail"]
    sent = await gateway.client.post("/workflow-runs/run_1/pause", headers={"Idempotency-Key": "mine"})
    assert sent.json()["idempotencyKey"] == "mine"


async def test_a_command_waits_for_a_scheduler_that_starts(start: Start, scheduler: FakeScheduler) -> None:
    await scheduler.stop()
    gateway = await start()
    asking = asyncio.create_task(gateway.client.post("/workflow-runs", json={"workflowId": "triage"}))
    await asyncio.wait([asking], timeout=0.3)
    assert not asking.done()
    await scheduler.start()
    assert (await asking).status_code == 201


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
async def test_steering_passes_the_reason_or_none(verb: str, http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
    scheduler.add_run("run_1", "run_created")
    subject = f"wf.rpc.run.{verb}"
    assert (await http.post(f"/workflow-runs/run_1/{verb}", json={"reason": "lunch"})).json()["id"] == "run_1"
    assert scheduler.last(subject).reason == "lunch"
    assert (await http.post(f"/workflow-runs/run_1/{verb}")).status_code == 200
    assert scheduler.last(subject).reason is None


async def test_a_refusal_keeps_its_facts(http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
    def ended(request: object) -> object:
        raise refuse(
            409, "run_ended", "The run is over.", [Problem("x", "/a", "no")], status="COMPLETED", decision="no"
        )

    scheduler.answers[subjects.RUN_CANCEL] = ended
    answer = await http.post("/workflow-runs/run_1/cancel")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:station:problem:run_ended",
        "title": "Run ended",
        "status": 409,
        "detail": "The run is over.",
        "code": "run_ended",
        "errors": [{"code": "x", "path": "/a", "message": "no", "hint": None}],
        "currentStatus": "COMPLETED",
        "decision": "no",
    }


async def test_a_signal_is_accepted(http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
    answer = await http.post("/workflow-runs/run_1/signals", json={"name": "go", "payload": [1], "id": "s1"})
    assert answer.status_code == 202
    assert answer.json() == {"runId": "run_1", "id": "s1", "name": "go", "duplicate": False}
    asked = scheduler.last(subjects.RUN_SIGNAL)
    assert (asked.run_id, asked.name, asked.payload, asked.id) == ("run_1", "go", [1], "s1")


async def test_lists_pass_their_filters(http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
    scheduler.add_run("run_1", "run_created", "run_started")
    query = "workflowId=triage&status=RUNNING&label=team:ops&label=url%3Dhttp://x&limit=7&cursor=c"
    assert (await http.get(f"/workflow-runs?{query}")).json() == {"items": [], "nextCursor": None, "total": 0}
    asked = scheduler.last(subjects.QUERY_RUNS)
    assert asked.labels == {"team": "ops", "url": "http://x"}
    assert (asked.workflow_id, asked.status, asked.limit, asked.cursor) == ("triage", "RUNNING", 7, "c")
    asked_before = len(scheduler.asked)
    contradiction = await http.get("/workflow-runs?label=a:1&label=a:2")
    assert contradiction.json() == {"items": [], "nextCursor": None, "total": 0}
    assert len(scheduler.asked) == asked_before
    await http.get("/workflow-runs/run_1/steps?limit=3")
    assert scheduler.last(subjects.QUERY_STEPS).limit == 3
    found = (await http.get("/workflow-runs/run_1/events?after=1&type=run_started")).json()
    assert [event["seq"] for event in found["items"]] == [2]
    assert scheduler.last(subjects.QUERY_EVENTS).type == "run_started"
    assert (await http.get("/workflow-runs/run_1/events?cursor=1")).json()["items"] == found["items"]


async def test_what_the_scheduler_answers_is_passed_on_byte_for_byte(
    http: httpx.AsyncClient, scheduler: FakeScheduler
) -> None:
    scheduler.answers[subjects.QUERY_RUN] = lambda _: b'{"id": "run_1",   "odd": 1e2}'
    answer = await http.get("/workflow-runs/run_1")
    assert answer.content == b'{"id": "run_1",   "odd": 1e2}'
    assert answer.headers["content-type"] == "application/json"
