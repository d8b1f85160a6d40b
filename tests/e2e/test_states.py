"""The state types, alone and inside each other: concurrency, order, loops, and failures that are not silent."""

from pathlib import Path
from typing import Any

from tests.e2e.agents import Pipe
from tests.e2e.workflows import agent, ask, foreach, inject, parallel, store, switch, wait_signal
from tests.support.driver import ok
from tests.support.system import System


def test_branches_overlap_in_time(system: System) -> None:
    """Each of the two programs ends only if the other one runs at the same time."""
    branches = {
        "left": [agent("meet_right", "meet", "left right")],
        "right": [agent("meet_left", "meet", "right left")],
    }
    store(system, "overlap", parallel("both", branches))
    run = system.finish(system.start_run("overlap"))
    assert run["output"] == {"left": {"result": {"met": "right"}}, "right": {"result": {"met": "left"}}}
    one, other = (step for step in system.steps(run["id"]) if step["action"] == "agent.run")
    assert max(one["startedAt"], other["startedAt"]) <= min(one["completedAt"], other["completedAt"])


def test_foreach_keeps_the_order_of_its_items_when_they_overlap(system: System) -> None:
    items = [{"me": "one", "other": "two"}, {"me": "two", "other": "one"}, {"me": "three", "other": "four"}]
    items.append({"me": "four", "other": "three"})
    body = [agent("meet", "meet", "{{ item.me }} {{ item.other }}")]
    store(system, "ordered", foreach("each", "items", body, maxConcurrency=2))
    run = system.finish(system.start_run("ordered", {"items": items}))
    assert [written["result"]["met"] for written in run["output"]] == [item["other"] for item in items]


def test_foreach_over_nothing(system: System) -> None:
    store(system, "empty", foreach("each", "items", [agent("one", "ok")], next="after"), agent("after", "ok"))
    run = system.finish(system.start_run("empty", {"items": []}))
    assert run["context"]["steps"]["each"] == []


def test_foreach_over_what_is_no_list_fails(system: System) -> None:
    store(system, "no-list", foreach("each", "items", [agent("one", "ok")]))
    run = system.finish(system.start_run("no-list", {"items": "text"}), "FAILED")
    assert run["error"]["type"] == "validation"
    assert "items" in run["error"]["message"]


def test_a_condition_on_a_missing_value_fails_loudly(system: System) -> None:
    """A typo must not skip an approval gate."""
    gate = switch("gate", {"eror_rate > 0.05": "ask"}, "skip", dataPath="measured")
    store(system, "typo", gate, ask("ask"), inject("skip", {}))
    run = system.finish(system.start_run("typo", {"measured": {"error_rate": 0.5}, "region": "eu"}), "FAILED")
    assert run["error"]["type"] == "expression"
    assert "eror_rate" in run["error"]["message"]
    assert "error_rate" in run["error"]["message"], "the names in sight are told"
    assert "region" in run["error"]["message"]
    step = system.step(run["id"], "gate")
    assert (step["status"], step["error"]["type"]) == ("FAILED", "expression")
    assert [s["stateName"] for s in system.steps(run["id"])] == ["gate"]


def test_a_switch_on_a_path_that_is_not_there_fails(system: System) -> None:
    store(system, "no-data", switch("gate", {"True": "skip"}, "skip", dataPath="measured.here"), inject("skip", {}))
    run = system.finish(system.start_run("no-data", {"measured": {"there": 1}}), "FAILED")
    assert "measured.here" in run["error"]["message"]


def test_a_switch_without_a_match_and_a_default_fails(system: System) -> None:
    store(system, "no-way", switch("gate", {"n > 5": "more"}), inject("more", {}))
    run = system.finish(system.start_run("no-way", {"n": 5}), "FAILED")
    assert system.step(run["id"], "gate")["status"] == "FAILED"
    assert "gate" in run["error"]["message"]


def test_an_endless_condition_costs_one_step(system: System) -> None:
    endless = "len([x for x in range(100000) for y in range(100000)]) > 0"
    store(system, "bomb", switch("gate", {endless: "more"}, "more"), inject("more", {}))
    run = system.finish(system.start_run("bomb"), "FAILED")
    assert run["error"]["type"] == "expression"


def test_a_loop_through_a_switch(system: System) -> None:
    work = agent("work", "counter", resultPath="steps.work", next="enough")
    store(
        system, "loop", work, switch("enough", {"done": "end"}, "work", dataPath="steps.work"), inject("end", {"e": 1})
    )
    run = system.finish(system.start_run("loop"))
    rounds = [step for step in system.steps(run["id"]) if step["stateName"] == "work"]
    assert [step["visit"] for step in rounds] == [1, 2, 3]
    assert len({step["stepId"] for step in rounds}) == 3
    assert run["context"]["steps"]["work"] == {"done": True}


def test_a_loop_asks_again_each_time(system: System) -> None:
    again = switch("again", {"approved": "end"}, "ask", dataPath="steps.ask")
    store(system, "nag", ask("ask", onReject="again", next="again"), again, inject("end", {}))
    run_id = system.start_run("nag")
    first = system.wait_approval(run_id)
    ok(system.reject(run_id, first["id"]))
    system.wait_event(run_id, "approval_requested", lambda event: event["data"]["approvalId"] != first["id"])
    (second,) = [found for found in system.approvals(run_id) if found["status"] == "PENDING"]
    ok(system.approve(run_id, second["id"]))
    run = system.finish(run_id)
    assert run["context"]["steps"]["ask"]["approved"] is True


def test_everything_inside_a_branch_inside_a_foreach(system: System) -> None:
    """An approval, a retry, a timeout and a signal in the branches of every item, two items at a time."""
    retry = {"maxAttempts": 3, "backoffSeconds": 0.05}
    branches = {
        "approval": [ask("ask", "May {{ item }} go?")],
        "retry": [agent("try", "flaky", "{{ item }}", retry=retry)],
        "timeout": [
            agent("hang", "slow", timeoutSeconds=0.1, onError="recover", next="recover"),
            inject("recover", {"recovered": True}, resultPath="result"),
        ],
        "signal": [wait_signal("listen", "go")],
    }
    store(system, "nested", foreach("each", "items", [parallel("all", branches)], maxConcurrency=2))
    run_id = system.start_run("nested", {"items": ["a", "b"]})
    system.wait_status(run_id, "WAITING_APPROVAL")
    for payload in ("first", "second"):
        assert system.signal(run_id, "go", payload).status_code == 202
    for asked in system.approvals(run_id):
        ok(system.approve(run_id, asked["id"]))
    run = system.finish(run_id)
    results: list[Any] = [written["result"] for written in run["output"]]
    assert [result["approval"]["result"]["approved"] for result in results] == [True, True]
    assert [result["retry"]["result"] for result in results] == [{"tried": True}] * 2
    assert [result["timeout"]["result"] for result in results] == [{"recovered": True}] * 2
    assert sorted(result["signal"]["result"] for result in results) == ["first", "second"]
    tried = [step for step in system.steps(run_id) if step["stateName"] == "try"]
    assert sorted((step["branchPath"], step["attempt"], step["status"]) for step in tried) == [
        ([["each", index], ["all", "retry"]], attempt, status)
        for index in (0, 1)
        for attempt, status in ((1, "FAILED"), (2, "SUCCEEDED"))
    ]
    assert {found["message"] for found in system.approvals(run_id)} == {"May a go?", "May b go?"}


def test_siblings_finish_before_a_parallel_fails(system: System, tmp_path: Path) -> None:
    pipe = Pipe(tmp_path)
    branches = {
        "bad": [agent("fail", "fails")],
        "worse": [agent("fail_too", "die")],
        "good": [agent("hold", "gate", variables={"pipe": str(pipe)})],
    }
    store(system, "siblings", parallel("all", branches, onError="after"), inject("after", {"went": "on"}))
    run_id = system.start_run("siblings")
    for state in ("fail", "fail_too"):
        system.wait_event(run_id, "state_entered", lambda event, name=state: event["data"]["stateName"] == name)
    system.wait_event(run_id, "step_failed")
    pipe.send("good")
    run = system.finish(run_id)
    assert system.step(run_id, "hold")["status"] == "SUCCEEDED"
    error = system.step(run_id, "all")["error"]
    assert {cause["where"] for cause in error["causes"]} == {"bad", "worse"}
    assert run["context"]["error"]["step"] == "all"
    assert "the disk is on fire" in run["context"]["error"]["message"]


def test_retries_are_exhausted(system: System) -> None:
    store(system, "exhausted", agent("try", "fails", retry={"maxAttempts": 3, "backoffSeconds": 0.01}))
    run = system.finish(system.start_run("exhausted"), "FAILED")
    assert run["error"]["type"] == "retry_exhausted"
    assert run["error"]["causes"][0] == {"type": "agent_error", "message": "no luck"}
    attempts = system.steps(run["id"])
    assert [(step["attempt"], step["status"]) for step in attempts] == [(1, "FAILED"), (2, "FAILED"), (3, "FAILED")]
    assert len({step["agentRunId"] for step in attempts}) == 3


def test_a_missing_path_in_a_template_fails_the_step(system: System) -> None:
    store(system, "template", agent("one", "ok", "Look at {{ servic.name }}"))
    run = system.finish(system.start_run("template", {"service": {"name": "x"}}), "FAILED")
    assert run["error"]["type"] == "validation"
    assert "servic.name" in run["error"]["message"]
    assert "service" in run["error"]["message"]
    assert "one" in run["error"]["message"]


def test_a_loop_that_never_ends(system: System) -> None:
    again = switch("again", {"x == 1": "a"}, "never")
    store(system, "endless", inject("a", {"x": 1}, next="again"), again, inject("never", {}))
    run = system.finish(system.start_run("endless"), "FAILED")
    assert run["error"]["type"] == "limit"
    assert "10000 states" in run["error"]["message"]


def test_sixteen_deep(system: System) -> None:
    states = [agent("deep", "ok")]
    for level in range(15):
        states = [parallel(f"level{level}", {"in": states})]
    store(system, "deep", *states)
    value = system.finish(system.start_run("deep"))["output"]
    for _ in range(15):
        value = value["in"]["result"]
    assert value == {"ok": True}
    store_too_deep = {"id": "too-deep", "states": [parallel("a", {"b": [parallel("c", {"d": states})]})]}
    checked = ok(system.api.post("/workflows/validate", json=store_too_deep))
    assert checked["valid"] is False


def test_a_no_in_one_of_many_iterations_ends_the_run(system: System) -> None:
    store(system, "many-ask", foreach("each", "items", [ask("ask", "{{ item }}?")], maxConcurrency=60))
    run_id = system.start_run("many-ask", {"items": list(range(60))})
    system.wait_status(run_id, "WAITING_APPROVAL")
    asked = system.all_pages(f"/workflow-runs/{run_id}/approvals", limit=7)
    assert {found["message"] for found in asked} == {f"{item}?" for item in range(60)}
    ok(system.reject(run_id, asked[0]["id"]))
    system.finish(run_id, "CANCELLED")
    statuses = [found["status"] for found in system.approvals(run_id)]
    assert (statuses.count("REJECTED"), statuses.count("CANCELLED")) == (1, 59)
