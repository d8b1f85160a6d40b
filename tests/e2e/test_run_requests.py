"""Starting and listing runs over HTTP: idempotency, ids, refusals with a reason, pages, filters."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.workflows import agent, inject, store, wait_signal
from tests.support.driver import ok
from tests.support.system import System


@pytest.fixture(autouse=True)
def _definitions(system: System) -> None:
    store(system, "quick", agent("work", "ok"))
    store(system, "listens", wait_signal("listen", "go"))


def problem(answer: httpx.Response, status: int, code: str) -> Any:
    """A problem document with all that belongs to one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    document = answer.json()
    assert (document["status"], document["code"]) == (status, code)
    assert document["type"]
    assert document["title"]
    assert document["detail"]
    return document


def test_the_same_key_and_body_give_the_first_answer_again(system: System) -> None:
    key = {"idempotency-key": "start-once"}
    first = system.post_run("quick", {"n": 1}, headers=key)
    system.finish(first.json()["id"])
    again = system.post_run("quick", {"n": 1}, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    problem(system.post_run("quick", {"n": 2}, headers=key), 422, "idempotency_mismatch")


def test_keys_of_different_people_do_not_meet(system: System) -> None:
    ids = {
        system.post_run("quick", headers={"idempotency-key": "shared", "x-station-user": user}).json()["id"]
        for user in ("alice", "bob")
    }
    assert len(ids) == 2


def test_a_command_with_a_key_is_done_once(system: System) -> None:
    run_id = system.start_run("listens")
    path, key = f"/workflow-runs/{run_id}/pause", {"idempotency-key": f"pause-{run_id}"}
    first = ok(system.api.post(path, json={"reason": "x"}, headers=key))
    ok(system.control(run_id, "resume"))
    assert ok(system.api.post(path, json={"reason": "x"}, headers=key)) == first
    assert system.run(run_id)["status"] == "WAITING_SIGNAL"
    problem(system.api.post(path, json={"reason": "y"}, headers=key), 422, "idempotency_mismatch")
    resume = system.api.post(f"/workflow-runs/{run_id}/resume", json={"reason": "x"}, headers=key)
    problem(resume, 422, "idempotency_mismatch")
    ok(system.control(run_id, "cancel"))


def test_a_signal_with_a_key_is_delivered_once(system: System) -> None:
    store(system, "two-signals", wait_signal("one", "go", next="two"), wait_signal("two", "go"))
    run_id = system.start_run("two-signals")
    path, key = f"/workflow-runs/{run_id}/signals", {"idempotency-key": f"signal-{run_id}"}
    first, again = (system.api.post(path, json={"name": "go"}, headers=key) for _ in range(2))
    assert (first.status_code, first.json()["id"]) == (202, again.json()["id"])
    assert len(system.events(run_id, "signal_received")) == 1
    ok(system.control(run_id, "cancel"))


def test_a_run_id_of_the_clients_own(system: System) -> None:
    first = system.post_run("quick", {"n": 1}, runId="mine-1")
    assert first.status_code == 201
    assert first.json()["id"] == "mine-1"
    assert first.headers["location"].endswith("/workflow-runs/mine-1")
    assert ok(system.post_run("quick", {"n": 1}, runId="mine-1"))["createdAt"] == first.json()["createdAt"]
    problem(system.post_run("quick", {"n": 2}, runId="mine-1"), 409, "run_id_taken")
    refused = problem(system.post_run("quick", runId="not a token"), 400, "body_invalid")
    assert refused["errors"][0]["path"] == "/runId"
    system.finish("mine-1")


def test_an_agent_that_the_environment_lacks(system: System) -> None:
    validation = store(system, "needs-nobody", agent("work", "nobody-has-this"))["validation"]
    assert validation["errors"] == []
    assert any("nobody-has-this" in warning["message"] for warning in validation["warnings"])
    refused = problem(system.post_run("needs-nobody", runId="never-made"), 400, "agent_not_found")
    assert "nobody-has-this" in refused["detail"]
    assert system.api.get("/workflow-runs/never-made").status_code == 404


def test_an_environment_that_is_not_there(system: System) -> None:
    problem(system.post_run("quick", environment="nowhere"), 400, "environment_not_found")


def test_what_is_not_there(system: System) -> None:
    problem(system.post_run("no-such-workflow"), 404, "workflow_not_found")
    problem(system.post_run("quick", version=999), 404, "version_not_found")
    for path in ("", "/steps", "/events", "/approvals", "/stream"):
        problem(system.api.get(f"/workflow-runs/run_nobody{path}"), 404, "run_not_found")
    for command in ("pause", "resume", "cancel"):
        problem(system.control("run_nobody", command), 404, "run_not_found")
    run_id = system.start_run("quick")
    problem(system.approve(run_id, "appr_nobody"), 404, "approval_not_found")
    problem(system.api.get("/agents/nobody", params={"environment": "test"}), 404, "agent_not_found")


def test_an_input_that_does_not_fit(system: System) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "list": {"type": "array", "items": {"type": "string"}}},
    }
    store(system, "typed", inject("only", {}), inputSchema=schema)
    refused = problem(system.post_run("typed", {"n": "one", "list": ["a", 2]}), 400, "input_invalid")
    assert {error["path"] for error in refused["errors"]} == {"/input/n", "/input/list/1"}
    reserved = problem(system.post_run("quick", {"steps": {}, "ctx": 1}), 400, "input_invalid")
    assert {error["path"] for error in reserved["errors"]} == {"/input/ctx", "/input/steps"}


def test_a_disabled_workflow_takes_no_new_runs(system: System) -> None:
    store(system, "on-off", inject("only", {}))
    assert ok(system.api.post("/workflows/on-off/disable"))["status"] == "disabled"
    problem(system.post_run("on-off"), 409, "workflow_disabled")
    assert "on-off" in {found["id"] for found in system.all_pages("/workflows", status="disabled")}
    assert ok(system.api.post("/workflows/on-off/enable"))["status"] == "active"
    system.finish(system.start_run("on-off"))


def test_pages_come_newest_first_without_gap_or_repeat(system: System) -> None:
    store(system, "many", inject("only", {}))
    # Ids of the client's own choice say nothing about age.
    made = [system.start_run("many", runId=f"{9 - n}-many") if n % 2 else system.start_run("many") for n in range(7)]
    first = ok(system.api.get("/workflow-runs", params={"workflowId": "many", "limit": 3}))
    assert (len(first["items"]), first["total"]) == (3, 7)
    assert "context" not in first["items"][0]
    found = [run["id"] for run in system.all_pages("/workflow-runs", workflowId="many", limit=3)]
    assert found == list(reversed(made))
    for path in ("/workflow-runs", f"/workflow-runs/{made[0]}/steps", "/workflow-approvals"):
        problem(system.api.get(path, params={"cursor": "?"}), 400, "cursor_invalid")
    assert system.api.get("/workflow-runs", params={"limit": 0}).status_code == 400


def test_runs_by_label_and_by_status(system: System) -> None:
    store(system, "labelled", wait_signal("listen", "go"), labels={"team": "sre", "tier": "1"})
    one = system.start_run("labelled", labels={"ticket": "INC-1", "tier": "2"})
    two = system.start_run("labelled", labels={"ticket": "INC-2"})
    assert system.run(one)["labels"] == {"team": "sre", "tier": "2", "ticket": "INC-1"}

    def found(*labels: str, **more: str) -> set[str]:
        page = ok(system.api.get("/workflow-runs", params={"workflowId": "labelled", "label": list(labels), **more}))
        return {run["id"] for run in page["items"]}

    assert found("team=sre") == {one, two}
    assert found("ticket=INC-1") == {one}
    assert found("team=sre", "tier=1") == {two}
    assert found("team=nobody") == set()
    ok(system.control(one, "cancel"))
    assert found(status="CANCELLED") == {one}
    assert found(status="WAITING_SIGNAL") == {two}
    ok(system.control(two, "cancel"))


def test_events_by_type_and_page(system: System) -> None:
    run_id = system.start_run("quick")
    system.finish(run_id)
    every = system.events(run_id)
    assert [event["seq"] for event in every] == list(range(1, len(every) + 1))
    assert system.all_pages(f"/workflow-runs/{run_id}/events", limit=2) == every
    page = ok(system.api.get(f"/workflow-runs/{run_id}/events", params={"after": 3}))
    assert page["items"] == every[3:]
    (started,) = system.events(run_id, "run_started")
    assert started in every


def test_an_agent_is_shown(system: System) -> None:
    shown = ok(system.api.get("/agents/strict", params={"environment": "test"}))
    assert shown["model"] == "scripted"
    assert shown["inputSchema"]["required"] == ["ready"]
    assert shown["sourceFile"] == "test/agents/strict.prompt"
    names = [found["name"] for found in system.all_pages("/agents", environment="default")]
    assert "host-cpu" in names
    assert names == sorted(names)


def test_starts_of_one_id_or_one_key_at_once_are_one_run(system: System) -> None:
    key = {"idempotency-key": "at-once"}
    with ThreadPoolExecutor(8) as pool:
        named = list(pool.map(lambda n: system.post_run("quick", {"n": n % 2}, runId="at-once"), range(8)))
        keyed = list(pool.map(lambda _: system.post_run("quick", headers=key), range(8)))
    assert sorted(answer.status_code for answer in named) == [201] * 4 + [409] * 4
    assert {answer.status_code for answer in keyed} == {201}
    assert len({answer.json()["id"] for answer in keyed}) == 1
    for run_id in ("at-once", keyed[0].json()["id"]):
        system.finish(run_id)
