"""Every example of the PRD, byte for byte as it is written there, sent over HTTP and run to the end it describes."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.agents import PODS, SCRIPTED
from tests.support.driver import ok
from tests.support.system import System

PRD = Path(__file__).parents[1] / "data" / "prd"
TARGET = {"namespace": "production", "service": "checkout"}


def start(system: System, example: str, given: dict[str, Any] | None = None, **more: Any) -> str:
    """Store the example and start its very revision."""
    workflow = system.apply((PRD / f"{example}.workflow.yaml").read_text())
    return system.start_run(workflow["id"], given, version=workflow["version"], **more)


def test_operation(system: System) -> None:
    run = system.finish(start(system, "operation", {"namespace": "production"}))
    assert run["context"]["steps"]["checkPods"] == PODS
    assert run["output"] == SCRIPTED["analyze-results"]
    first = system.step(run["id"], "check_pods")
    assert first["input"] == {"agent": "kubernetes-triage", "task": "Check pods in namespace production"}
    assert first["agentRunId"]


def test_agent_run(system: System) -> None:
    run = system.finish(start(system, "agent-run"))
    assert run["output"] == PODS
    assert run["context"]["steps"]["check_pods"] == PODS
    assert system.step(run["id"], "check_pods")["input"]["variables"] == {"namespace": "production"}


def test_inject(system: System) -> None:
    run = system.finish(start(system, "inject"))
    assert run["context"]["config"] == {"thresholds": {"errorRate": 0.05, "latencyP99": 500}}
    assert run["output"] == SCRIPTED["diagnostics"]


def test_parallel(system: System) -> None:
    run = system.finish(start(system, "parallel", TARGET))
    assert run["context"]["steps"]["diagnostics"] == {
        "check_pods": {"branches": {"pods": PODS}},
        "check_logs": {"branches": {"logs": SCRIPTED["log-analyzer"]}},
    }
    assert run["output"] == SCRIPTED["analyze"]


def test_foreach_keeps_order(system: System) -> None:
    names = ["billing", "checkout", "search"]
    run = system.finish(start(system, "foreach", {"services": [{"name": name} for name in names]}))
    assert run["context"]["steps"]["healthResults"] == [{"result": {"service": name}} for name in names]
    checks = [step for step in system.steps(run["id"]) if step["stateName"] == "health_check"]
    assert [(step["foreachIndex"], step["input"]["task"]) for step in checks] == [
        (index, f"Check health of {name}") for index, name in enumerate(names)
    ]
    # maxConcurrency 1: one after the other
    times = [(step["startedAt"], step["completedAt"]) for step in checks]
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(times))


@pytest.mark.parametrize(
    ("answer", "way"),
    [
        ({"error_rate": 0.06, "status": "ok"}, "request_approval"),
        ({"error_rate": 0.05, "status": "degraded"}, "run_diagnostics"),
        ({"error_rate": 0.05, "status": "ok"}, "report_ok"),
    ],
)
def test_switch(system: System, answer: dict[str, Any], way: str) -> None:
    """The example knows one agent `analysis`: each answer has an environment of its own."""
    environment = f"switch-{way.replace('_', '-')}"
    for name in ("run-diagnostics", "report-ok"):
        system.write_scripted(name, {"answer": SCRIPTED[name]}, environment=environment)
    system.write_scripted("analysis", {"answer": answer}, environment=environment)
    for name in ("analysis", "run-diagnostics", "report-ok"):
        system.wait_agent(name, environment=environment)
    run_id = start(system, "switch", environment=environment)
    if way == "request_approval":
        asked = system.wait_approval(run_id)
        assert asked["message"] == "Go on?"
        ok(system.approve(run_id, asked["id"]))
    run = system.finish(run_id)
    decided = system.step(run_id, "decide_action")["stepId"]
    (exited,) = [event for event in system.events(run_id, "state_exited") if event["stepId"] == decided]
    assert exited["data"]["next"] == way
    assert system.step(run_id, way)["status"] == "SUCCEEDED"
    assert way == "request_approval" or run["output"] == SCRIPTED[way.replace("_", "-")]


def test_human_approval(system: System) -> None:
    run_id = start(system, "human-approval")
    asked = system.wait_approval(run_id)
    assert asked["message"] == "Approve deployment to production?"
    assert asked["summary"] == SCRIPTED["plan"]
    assert asked["approvers"] == ["team:platform", "user:alice@example.com"]
    waiting = system.wait_status(run_id, "WAITING_APPROVAL")
    assert waiting["waitingFor"].startswith("a person to decide 'approve'")
    assert system.step(run_id, "approve")["status"] == "WAITING_APPROVAL"
    assert system.approve(run_id, asked["id"], "mallory").status_code == 403
    decided = ok(system.approve(run_id, asked["id"], "alice@example.com", comment="go"))
    assert decided["status"] == "APPROVED"
    run = system.finish(run_id)
    assert run["output"]["approved"] is True
    assert run["output"]["decidedBy"] == "user:alice@example.com"
    assert run["output"]["comment"] == "go"


@pytest.mark.parametrize("example", ["top-level", "incident-triage.file", "incident-triage"])
def test_a_missing_input_is_refused_with_its_path(system: System, example: str) -> None:
    workflow = system.apply((PRD / f"{example}.workflow.yaml").read_text())
    answer = system.post_run(workflow["id"], {"namespace": "production"}, version=workflow["version"])
    assert answer.status_code == 400
    problem = answer.json()
    assert problem["code"] == "input_invalid"
    assert [error["path"] for error in problem["errors"]] == ["/input/service"] or (
        problem["errors"][0]["path"] == "/input" and "service" in problem["errors"][0]["message"]
    )


def test_top_level(system: System) -> None:
    run = system.finish(start(system, "top-level", TARGET))
    assert run["output"] == SCRIPTED["diagnostics"]
    workflow = ok(system.api.get("/workflows/incident-triage", params={"version": run["version"]}))
    assert workflow["versionLabel"] == "1.0"
    assert workflow["description"] == "Automated incident diagnosis and remediation"


def test_the_file_of_the_environment(system: System) -> None:
    run = system.finish(start(system, "incident-triage.file", TARGET))
    assert system.step(run["id"], "diagnostics")["input"]["task"] == "Check pods in production"
    assert run["output"] == SCRIPTED["analyze"]
