"""Who is asked, who may answer, and what an answer counts for."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.workflows import agent, ask, inject, store
from tests.support.driver import ok
from tests.support.system import System


def inbox(system: System, user: str = "alice", teams: str | None = None, **query: Any) -> set[str]:
    """The runs whose approvals are in a person's inbox."""
    headers = {"x-station-user": user} | ({"x-station-teams": teams} if teams else {})
    items: list[Any] = []
    cursor = None
    while True:
        params = {"limit": 50, **query} | ({"cursor": cursor} if cursor else {})
        page = ok(system.api.get("/workflow-approvals", params=params, headers=headers))
        items += page["items"]
        cursor = page["nextCursor"]
        if cursor is None:
            return {item["runId"] for item in items}


def asked(system: System, workflow: str, user: str = "starter", **question: Any) -> tuple[str, Any]:
    """A run that asks, started by somebody; its id and its approval."""
    store(system, workflow, ask("ask", **question))
    body = {"workflowId": workflow, "environment": "test"}
    run_id = ok(system.api.post("/workflow-runs", json=body, headers={"x-station-user": user}))["id"]
    return run_id, system.wait_approval(run_id)


def code(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return answer.json()["code"]


def test_mine(system: System) -> None:
    anybody, one = asked(system, "asks-anybody")
    alices, two = asked(system, "asks-alice", approvers=["user:alice"])
    teams, three = asked(system, "asks-team", approvers=["team:sre", "user:carol"])
    runs = {anybody, alices, teams}
    assert runs <= inbox(system, status="PENDING")
    assert inbox(system, "alice", mine="true", status="PENDING") & runs == {anybody, alices}
    assert inbox(system, "bob", "dev,sre", mine="true", status="PENDING") & runs == {anybody, teams}
    assert inbox(system, "carol", mine="true", status="PENDING") & runs == {anybody, teams}
    assert inbox(system, "mallory", mine="true", status="PENDING") & runs == {anybody}
    for run_id, approval in ((anybody, one), (alices, two), (teams, three)):
        ok(system.decide(run_id, approval["id"], "approve", "alice", "sre"))
        assert run_id not in inbox(system, status="PENDING")
    assert runs <= inbox(system, status="APPROVED")


def test_only_those_who_are_asked_may_decide(system: System) -> None:
    run_id, approval = asked(system, "guarded", approvers=["user:alice", "team:sre"])
    for user, teams in (("mallory", None), ("Alice", None), ("bob", "dev"), ("sre", None)):
        refused = system.decide(run_id, approval["id"], "approve", user, teams)
        assert code(refused, 403) == "not_an_approver"
        assert refused.json()["approvers"] == ["user:alice", "team:sre"]
    assert system.approvals(run_id)[0]["status"] == "PENDING"
    assert ok(system.decide(run_id, approval["id"], "approve", "bob", "dev, sre"))["status"] == "APPROVED"
    run = system.finish(run_id)
    assert run["output"]["decidedBy"] == "user:bob"


def test_nobody_approves_what_they_started_where_that_is_off(system: System) -> None:
    run_id, approval = asked(system, "four-eyes", "alice", allowSelfApproval=False)
    assert code(system.approve(run_id, approval["id"], "alice"), 403) == "self_approval"
    assert run_id not in inbox(system, "alice", mine="true", status="PENDING")
    assert run_id in inbox(system, "bob", mine="true", status="PENDING")
    ok(system.approve(run_id, approval["id"], "bob"))
    system.finish(run_id)


def test_two_people_must_agree(system: System) -> None:
    run_id, approval = asked(system, "quorum", quorum=2)
    first = ok(system.approve(run_id, approval["id"], "alice"))
    assert (first["status"], first["quorum"]) == ("PENDING", 2)
    assert code(system.approve(run_id, approval["id"], "alice"), 409) == "already_decided_by_you"
    assert system.run(run_id)["status"] == "WAITING_APPROVAL"
    second = ok(system.approve(run_id, approval["id"], "bob", comment="me too"))
    assert second["status"] == "APPROVED"
    assert [(each["by"], each["comment"]) for each in second["decisions"]] == [
        ("user:alice", None),
        ("user:bob", "me too"),
    ]
    system.finish(run_id)


def test_one_no_is_enough(system: System) -> None:
    run_id, approval = asked(system, "veto", quorum=3)
    ok(system.approve(run_id, approval["id"], "alice"))
    assert ok(system.reject(run_id, approval["id"], "bob"))["status"] == "REJECTED"
    system.finish(run_id, "CANCELLED")


def test_a_decision_is_on_what_was_shown(system: System) -> None:
    store(system, "shown", agent("plan", "plan", next="ask"), ask("ask", summaryPath="steps.plan"))
    run_id = system.start_run("shown")
    approval = system.wait_approval(run_id)
    refused = system.approve(run_id, approval["id"], summaryDigest="0" * 64)
    assert code(refused, 409) == "digest_mismatch"
    assert refused.json()["summaryDigest"] == approval["summaryDigest"]
    ok(system.approve(run_id, approval["id"], summaryDigest=approval["summaryDigest"]))
    system.finish(run_id)


def test_the_decision_that_stands_is_told(system: System) -> None:
    run_id, approval = asked(system, "once-only")
    key = {"idempotency-key": f"approve-{run_id}", "x-station-user": "alice"}
    path = f"/workflow-runs/{run_id}/approvals/{approval['id']}"
    first = ok(system.api.post(f"{path}/approve", json={"comment": "yes"}, headers=key))
    assert ok(system.api.post(f"{path}/approve", json={"comment": "yes"}, headers=key)) == first
    assert code(system.api.post(f"{path}/approve", json={"comment": "no"}, headers=key), 422) == "idempotency_mismatch"
    for decision in ("approve", "reject"):
        refused = system.decide(run_id, approval["id"], decision, "bob")
        assert code(refused, 409) == "approval_decided"
        assert refused.json()["decision"]["by"] == "user:alice"
        assert refused.json()["decision"]["comment"] == "yes"
    assert len(system.events(run_id, "approval_approved")) == 1


@pytest.mark.parametrize("how", ["fail", "instead"])
def test_where_a_no_leads(system: System, how: str) -> None:
    store(system, f"no-{how}", ask("ask", onReject=how, next="done"), inject("done", {}), inject("instead", {"i": 1}))
    run_id = system.start_run(f"no-{how}")
    ok(system.reject(run_id, system.wait_approval(run_id)["id"], comment="because"))
    if how == "fail":
        run = system.finish(run_id, "FAILED")
        assert (run["error"]["type"], run["error"]["message"]) == ("cancelled", "rejected by user:alice: because")
    else:
        run = system.finish(run_id)
        assert run["context"]["i"] == 1
        assert run["context"]["steps"]["ask"]["approved"] is False


def test_where_silence_leads(system: System) -> None:
    store(
        system,
        "silence",
        ask("ask", timeoutSeconds=0.1, onTimeout="instead", next="done"),
        inject("done", {}),
        inject("instead", {"i": 1}),
    )
    run = system.finish(system.start_run("silence"))
    assert run["context"]["i"] == 1
    assert run["context"]["steps"]["ask"] == {
        "approved": False, "decidedBy": None, "comment": None, "decidedAt": None
    }  # fmt: skip
    assert system.approvals(run["id"])[0]["status"] == "TIMED_OUT"


def test_many_decide_at_once_and_one_decision_stands(system: System) -> None:
    run_id, approval = asked(system, "race")
    ways = ["approve", "reject"] * 4
    with ThreadPoolExecutor(len(ways)) as pool:
        answers = list(pool.map(lambda n: system.decide(run_id, approval["id"], ways[n], f"user{n}"), range(len(ways))))
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 7]
    (won,) = [answer.json()["status"] for answer in answers if answer.is_success]
    system.finish(run_id, "COMPLETED" if won == "APPROVED" else "CANCELLED")
    assert len(system.approvals(run_id)[0]["decisions"]) == 1
