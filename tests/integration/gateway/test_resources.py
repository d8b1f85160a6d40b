"""Workflows, approvals and agents over HTTP: what reaches the other services, and what comes back."""

import httpx
import pytest

from station.contracts import subjects
from tests.integration.gateway.test_refusals import problem
from tests.support.fake_scheduler import FakeScheduler

YAML = "id: triage\nname: ümläut\nversion: 1.10\n".encode()


@pytest.mark.parametrize(
    "kind", ["application/yaml", "application/x-yaml", "text/yaml; charset=utf-8", "application/json"]
)
async def test_a_definition_is_passed_on_as_it_was_written(
    http: httpx.AsyncClient, scheduler: FakeScheduler, kind: str
) -> None:
    headers = {"Content-Type": kind, "X-Station-User": "alice"}
    answer = await http.post("/workflows", content=YAML, headers=headers)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/api/v1/workflows/triage"
    assert answer.json()["validation"] == {"errors": [], "warnings": [], "notes": []}
    asked = scheduler.last(subjects.WORKFLOW_CREATE)
    assert (asked.source, asked.content_type, asked.actor) == (YAML, kind.partition(";")[0], "user:alice")
    assert (await http.put("/workflows/triage", content=YAML, headers=headers)).status_code == 200
    updated = scheduler.last(subjects.WORKFLOW_UPDATE)
    assert (updated.workflow_id, updated.source) == ("triage", YAML)
    valid = await http.post("/workflows/validate?environment=prod", content=YAML, headers=headers)
    assert valid.status_code == 200
    assert valid.json() == {"valid": True, "errors": [], "warnings": [], "notes": []}
    assert scheduler.last(subjects.WORKFLOW_VALIDATE).environment == "prod"


async def test_the_life_of_a_workflow(http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
    assert (await http.get("/workflows/a?version=2")).json()["id"] == "a"
    assert scheduler.last(subjects.QUERY_WORKFLOW).version == 2
    assert (await http.get("/workflows?status=disabled&search=tri&limit=200")).status_code == 200
    listed = scheduler.last(subjects.QUERY_WORKFLOWS)
    assert (listed.status, listed.search, listed.limit) == ("disabled", "tri", 200)
    assert (await http.get("/workflows/a/versions?limit=2&cursor=x")).status_code == 200
    assert scheduler.last(subjects.QUERY_VERSIONS).cursor == "x"
    assert (await http.post("/workflows/a/rollback", json={"version": 1})).status_code == 200
    assert scheduler.last(subjects.WORKFLOW_ROLLBACK).version == 1
    assert (await http.post("/workflows/a/disable")).json()["status"] == "disabled"
    assert (await http.post("/workflows/a/enable")).json()["status"] == "active"
    gone = await http.delete("/workflows/a")
    assert (gone.status_code, gone.content) == (204, b"")
    assert scheduler.last(subjects.WORKFLOW_DELETE).workflow_id == "a"


async def test_approvals_are_asked_of_the_inbox(http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
    await http.get("/workflow-runs/run_1/approvals?status=PENDING")
    asked = scheduler.last(subjects.INBOX_LIST)
    assert (asked.run_id, asked.status, asked.mine) == ("run_1", "PENDING", False)
    await http.get("/workflow-approvals?mine=true&limit=5", headers={"X-Station-User": "bob"})
    asked = scheduler.last(subjects.INBOX_LIST)
    assert (asked.run_id, asked.mine, asked.principal.user, asked.limit) == (None, True, "bob", 5)


@pytest.mark.parametrize("verb", ["approve", "reject"])
async def test_a_decision_is_passed_on(http: httpx.AsyncClient, scheduler: FakeScheduler, verb: str) -> None:
    path = f"/workflow-runs/run_1/approvals/appr_1/{verb}"
    body = {"comment": "seen", "summaryDigest": "d" * 64}
    answer = await http.post(path, json=body, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 200
    assert answer.json()["id"] == "appr_1"
    assert answer.headers["idempotency-key"] == "k"
    asked = scheduler.last(subjects.INBOX_DECIDE)
    assert (asked.run_id, asked.approval_id, asked.decision) == ("run_1", "appr_1", verb)
    assert (asked.comment, asked.summary_digest, asked.idempotency_key) == ("seen", "d" * 64, "k")
    assert (asked.principal.user, asked.principal.teams) == ("local", ())


async def test_agents_are_listed_and_found(http: httpx.AsyncClient) -> None:
    found = (await http.get("/agents")).json()
    assert (found["total"], found["nextCursor"], len(found["items"])) == (3, None, 3)
    assert (await http.get("/agents?environment=default")).json()["total"] == 1
    assert (await http.get("/agents/checker")).json()["environment"] == "default"
    assert (await http.get("/agents/fixer")).json()["environment"] == "prod"
    problem(await http.get("/agents/fixer?environment=default"), 404, "agent_not_found")
