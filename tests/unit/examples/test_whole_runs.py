"""Whole runs of the example workflows: the real core and the real agents, with no bus and no store between them."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from station.contracts.errors import ErrorType, StepError
from station.contracts.events import Event, RunCreated
from station.contracts.work import StepTask
from station.core import messages
from station.core.decide import decide, resume_evaluated
from station.core.decision import Decision
from station.core.evolve import create
from station.core.loading import load
from station.core.program import Limits, compile_program
from station.core.run import Run
from station.scheduler.evaluator.child import Conditions
from tests.support.example_agents import ENVIRONMENT, Examples

HIGH = {"loadPerCore": 1e6, "memoryUsedPercent": 101, "diskUsedPercent": 101, "largestProcessPercent": 101}


class Station:
    """Drives one run: hands tasks to agents, asks the evaluator, lets time pass where a step backs off."""

    def __init__(self, examples: Examples, workflow: str, given: dict[str, Any]) -> None:
        source = (ENVIRONMENT / "workflows" / f"{workflow}.workflow.yaml").read_bytes()
        definition = load(source).definition
        assert definition is not None
        self._program = compile_program(definition)
        self._examples = examples
        self._evaluator = Conditions()
        self._now = 1_700_000_000_000
        data = RunCreated(workflow_id=workflow, version=1, environment="default", input=given, started_by="user:alice")
        self.run: Run = create(Event(run_id="run_1", seq=1, at=self._now, actor="user:alice", data=data))
        self.attempts: list[str] = []
        """The agents that were run, one entry an attempt."""
        self._tell(messages.Start())

    def approve(self) -> None:
        approval = next(step.approval for step in self.run.open.values() if step.approval)
        self._tell(messages.DecideApproval(approval_id=approval.approval_id, by="user:bob", approve=True))

    def question(self) -> str:
        return next(step.approval.message for step in self.run.open.values() if step.approval)

    def _tell(self, message: messages.AnyMessage) -> None:
        waiting = [message]
        while waiting:
            decision = self._decide(waiting.pop(0))
            assert decision.refusal is None, decision.refusal
            waiting += [self._work(task) for task in decision.tasks]
            if not waiting:
                waiting += self._after_back_off()

    def _decide(self, message: messages.AnyMessage) -> Decision:
        decision, turn = decide(self._program, self.run, message, self._now, Limits())
        while decision.evaluations:
            asked = decision.evaluations.pop(0)
            conditions = [expression.starlark for expression in asked.expressions]
            answer = self._evaluator.answer({"conditions": conditions, "names": asked.bindings})
            evaluated = messages.Evaluated(
                step_id=asked.step_id, matched=answer.get("matched", -1), problem=answer.get("problem")
            )
            resume_evaluated(turn, evaluated)
        return decision

    def _work(self, task: StepTask) -> messages.ReportStep:
        self.attempts.append(task.agent)
        step = {"step_id": task.step_id, "attempt": task.attempt, "runner": "runner:1"}
        token = self._decide(messages.ClaimStep(**step, agent_run_id=f"agent_{len(self.attempts)}")).token
        assert token is not None
        request = {"task": task.task, "runId": task.run_id, "stepId": task.step_id, "attempt": task.attempt}
        outcome = self._examples.run(task.agent, task.variables, **request)
        error = StepError(type=ErrorType.AGENT_ERROR, message=outcome.stderr) if outcome.code else None
        return messages.ReportStep(**step, token=token, output=outcome.answer, error=error)

    def _after_back_off(self) -> list[messages.AnyMessage]:
        due = [step for step in self.run.open.values() if step.wake_at and step.action == "agent.run"]
        self._now = max([self._now, *(step.wake_at or 0 for step in due)])
        return [messages.WakeStep(step_id=step.step_id, attempt=step.attempt) for step in due]


@pytest.fixture
def start(examples: Examples) -> Callable[..., Station]:
    return lambda workflow, **given: Station(examples, workflow, given)


@pytest.fixture
def target() -> Iterator[dict[str, Any]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield {"host": "127.0.0.1", "port": server.getsockname()[1]}


def test_host_triage_asks_acts_and_reports(start, examples, target):
    station = start("host-triage", targets=[target])
    assert station.run.status == "WAITING_APPROVAL"
    assert f"log {(examples.work_directory / 'host-triage.log').stat().st_size} bytes" in station.question()
    station.approve()

    assert station.run.status == "COMPLETED"
    assert station.run.output["outcome"] == "mitigated"
    assert not (examples.work_directory / "host-triage.log").exists()
    assert len(list((examples.work_directory / "archive").iterdir())) == 1
    report = Path(station.run.output["report"]).read_text()
    assert "Approved by user:bob." in report
    assert f"`127.0.0.1:{target['port']}`: answers after" in report


def test_host_triage_with_nothing_over_its_threshold_is_the_all_clear(start, target):
    station = start("host-triage", targets=[target], thresholds={**HIGH, "logBytes": 10**6})

    assert (station.run.status, station.run.output["outcome"]) == ("COMPLETED", "all clear")


def test_a_port_that_stays_down_is_tried_three_times_and_then_asked_about(start, target):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        down = {"host": "127.0.0.1", "port": closed.getsockname()[1]}
        station = start("host-triage", targets=[down, target], thresholds={**HIGH, "logBytes": 10**6})
    assert station.attempts.count("port-probe") == 4
    station.approve()

    report = Path(station.run.output["report"]).read_text()
    line = next(line for line in report.splitlines() if f"`127.0.0.1:{down['port']}`" in line)
    assert ": down (" in line
    assert f"127.0.0.1:{down['port']} does not answer: Connection refused" in line


def test_a_measure_that_fails_is_reported_as_not_measured(start, examples):
    examples.work_directory.mkdir(mode=0o700)
    (examples.work_directory / "host-triage.log").mkdir()
    station = start("host-triage", targets=[], thresholds=HIGH)

    assert station.run.status == "COMPLETED"
    report = Path(station.run.output["report"]).read_text()
    assert "| log not measured (cannot write to" in report


def test_incident_triage_above_the_threshold_restarts_and_notifies_after_a_yes(start):
    station = start("incident-triage", namespace="production", service="checkout")
    assert station.question() == "Error rate high (0.08). Approve mitigation?"
    station.approve()

    assert station.run.status == "COMPLETED"
    assert station.run.output["text"].startswith("Restarted 2 of 5 pods in production")


@pytest.mark.parametrize("service", ["billing", "search"])
def test_incident_triage_at_or_below_the_threshold_sends_the_all_clear(start, service):
    station = start("incident-triage", namespace="production", service=service)

    assert station.run.status == "COMPLETED"
    assert station.run.output["text"] == f"No mitigation required for {service}"
    assert "k8s-remediator" not in station.attempts
