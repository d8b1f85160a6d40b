"""Fifty runs of the PRD's appendix at the same time, and the runner dies in the middle."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.support.driver import ok
from tests.support.system import System

SOURCE = (Path(__file__).parents[1] / "data" / "prd" / "incident-triage.workflow.yaml").read_text()
RUNS = 50
ANSWERS = {
    "k8s-pod-checker": {"status": "degraded"},
    "slo-analyzer": {"error_rate": 0.08},
    "k8s-remediator": {"restarted": 2},
    "notification-sender": {"sent": True},
}


def test_fifty_runs_at_once_complete_though_the_runner_is_killed(make_system: Callable[..., System]) -> None:
    system = make_system()
    for name, answer in ANSWERS.items():
        system.write_scripted(name, {"answer": answer, "delaySeconds": 0.05})
    for name in ANSWERS:
        system.wait_agent(name)
    workflow = system.apply(SOURCE)
    target = {"namespace": "production", "service": "checkout"}
    runs = [system.start_run(workflow["id"], target) for _ in range(RUNS)]
    system.wait_event(runs[0], "step_started")
    system.restart("agent-runner")
    asked = {run_id: system.wait_approval(run_id) for run_id in runs}
    assert all(not run["completedAt"] for run in map(system.run, runs)), "all fifty are open at the same time"
    for run_id, approval in asked.items():
        ok(system.approve(run_id, approval["id"]))
    system.restart("agent-runner")
    for run_id in runs:
        system.finish(run_id)
        succeeded = Counter(event["stepId"] for event in system.events(run_id, "step_succeeded"))
        assert set(succeeded.values()) == {1}
