"""The PRD's appendix with real programs as its agents: above, at and below the threshold; yes, no, and no answer."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.driver import ok
from tests.support.system import System

SOURCE = (Path(__file__).parents[1] / "data" / "prd" / "incident-triage.workflow.yaml").read_text()


def start(system: System, service: str, source: str = SOURCE) -> str:
    workflow = system.apply(source)
    target = {"namespace": "production", "service": service}
    return system.start_run(workflow["id"], target, version=workflow["version"], environment="default")


def names(system: System, run_id: str) -> list[str]:
    return [step["stateName"] for step in system.steps(run_id)]


def test_above_the_threshold_and_approved(system: System) -> None:
    run_id = start(system, "checkout")
    asked = system.wait_approval(run_id)
    assert asked["message"] == "Error rate high (0.08). Approve mitigation?"
    assert asked["summary"] == system.run(run_id)["context"]["steps"]["diagnostics"]
    assert asked["summary"]["errors"]["result"]["error_rate"] == 0.08
    assert system.wait_status(run_id, "WAITING_APPROVAL")["waitingFor"]
    ok(system.approve(run_id, asked["id"], summaryDigest=asked["summaryDigest"]))
    run = system.finish(run_id)
    steps: dict[str, Any] = run["context"]["steps"]
    assert run["context"]["config"] == {"thresholds": {"errorRate": 0.05}}
    assert "Restarted 2 of 5 pods in production" in steps["mitigation"]["result"]
    notified = system.step(run_id, "notify")
    assert notified["input"]["variables"] == {"channel": "#incidents", "summary": steps["mitigation"]["result"]}
    assert names(system, run_id)[-3:] == ["request_approval", "mitigate", "notify"]
    assert "report_ok" not in names(system, run_id)


@pytest.mark.parametrize("service", ["billing", "search"], ids=["at", "below"])
def test_not_above_the_threshold(system: System, service: str) -> None:
    run_id = start(system, service)
    run = system.finish(run_id)
    assert names(system, run_id)[-1] == "report_ok"
    assert system.approvals(run_id) == []
    told = system.step(run_id, "report_ok")["input"]["variables"]
    assert told == {"channel": "#incidents", "message": f"No mitigation required for {service}"}
    assert run["context"]["steps"]["diagnostics"]["errors"]["result"]["error_rate"] <= 0.05


def test_rejected(system: System) -> None:
    run_id = start(system, "checkout")
    asked = system.wait_approval(run_id)
    assert ok(system.reject(run_id, asked["id"], "bob", comment="not today"))["status"] == "REJECTED"
    run = system.finish(run_id, "CANCELLED")
    assert run["error"] is None
    assert system.step(run_id, "request_approval")["status"] == "CANCELLED"
    assert "mitigate" not in names(system, run_id)
    (rejected,) = system.events(run_id, "approval_rejected")
    assert (rejected["actor"], rejected["data"]["comment"]) == ("user:bob", "not today")
    again = system.approve(run_id, asked["id"])
    assert again.status_code == 409
    assert again.json()["decision"]["by"] == "user:bob"


def test_nobody_answers(system: System) -> None:
    changed = SOURCE.replace("timeoutSeconds: 3600", "timeoutSeconds: 0.2")
    assert changed != SOURCE
    run_id = start(system, "checkout", changed)
    run = system.finish(run_id, "FAILED")
    assert run["error"]["type"] == "timeout"
    assert system.step(run_id, "request_approval")["status"] == "TIMED_OUT"
    (asked,) = system.approvals(run_id)
    assert asked["status"] == "TIMED_OUT"
    late = system.approve(run_id, asked["id"])
    assert late.status_code == 409
    assert "mitigate" not in names(system, run_id)


def test_a_service_that_the_agent_does_not_know(system: System) -> None:
    """One branch fails: its sibling finishes, then the run fails, and says why."""
    run_id = start(system, "nowhere")
    run = system.finish(run_id, "FAILED")
    assert run["error"]["type"] == "agent_error"
    assert "the sample has no service 'nowhere'" in run["error"]["message"]
    assert system.step(run_id, "check_pods")["status"] == "SUCCEEDED"
    assert system.step(run_id, "check_errors")["status"] == "FAILED"
    assert system.step(run_id, "diagnostics")["status"] == "FAILED"


def test_the_file_of_the_example_environment_is_the_appendix(system: System) -> None:
    file = system.environments / "default" / "workflows" / "incident-triage.workflow.yaml"
    assert file.read_text() == SOURCE
