"""Every message in every status of a run, from one table; pause and resume around everything that can happen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from station.contracts.errors import ErrorType, StepError
from station.contracts.statuses import RunStatus
from station.core import messages
from station.core.lifecycle import CANCELLABLE, PAUSABLE, RESUMABLE, RUN_TRANSITIONS, SIGNALLABLE
from tests.support.driven_run import START_OF_TIME, DrivenRun
from tests.unit.core.definitions import action, agent, approval, foreach, parallel, workflow

ASK = approval(timeoutSeconds=1000) | {"name": "ask"}
WAIT = action("signal.wait", signal="go") | {"name": "wait"}
TIMER = action("timer.wait", seconds=1000) | {"name": "timer"}


def everything() -> dict[str, Any]:
    """A run in which an agent works, another is queued, a person is asked, a signal and a timer are awaited."""
    branches = {"one": [agent("held")], "two": [agent("queued")], "three": [ASK], "four": [WAIT], "five": [TIMER]}
    return workflow(parallel("p", **branches), timeoutSeconds=10_000)


def in_status(status: RunStatus) -> DrivenRun:
    definitions = {RunStatus.WAITING_APPROVAL: workflow(ASK), RunStatus.WAITING_SIGNAL: workflow(WAIT)}
    run = DrivenRun(
        definitions.get(status, everything()),
        started=status is not RunStatus.PENDING,
        deadline_at=START_OF_TIME + 10_000_000,
    )
    if run.open("held"):
        run.claimed(run.step("held"))
    match status:
        case RunStatus.PAUSED:
            run.pause()
        case RunStatus.CANCELLED:
            run.cancel()
        case RunStatus.TIMED_OUT:
            run.let_pass(0)
            run.now = START_OF_TIME + 10_000_000
            run.tell(messages.ReachDeadline())
        case RunStatus.COMPLETED | RunStatus.FAILED:
            _finish(run, good=status is RunStatus.COMPLETED)
        case _:
            pass
    assert run.run.status is status
    return run


def _finish(run: DrivenRun, *, good: bool) -> None:
    run.work("held", 1)
    if good:
        run.work("queued", 2)
    else:
        run.break_down("queued")
    run.approve("ask")
    run.signal("go")
    run.let_pass(1000)


def start(run: DrivenRun) -> None:
    run.tell(messages.Start())


COMMANDS: dict[str, tuple[Callable[[DrivenRun], Any], frozenset[RunStatus], str]] = {
    "start": (start, frozenset({RunStatus.PENDING}), "transition_not_allowed"),
    "pause": (DrivenRun.pause, PAUSABLE, "transition_not_allowed"),
    "resume": (DrivenRun.resume, RESUMABLE, "transition_not_allowed"),
    "cancel": (DrivenRun.cancel, CANCELLABLE, "transition_not_allowed"),
    "signal": (lambda run: run.signal("stray", 1), SIGNALLABLE, "run_ended"),
}


@pytest.mark.parametrize("status", list(RunStatus))
@pytest.mark.parametrize("command", list(COMMANDS))
def test_commands_in_every_status(command, status):
    act, allowed, code = COMMANDS[command]
    run = in_status(status)
    before = len(run.events)
    act(run)
    if status not in allowed:
        refusal = run.decisions[-1].refusal
        assert refusal is not None
        assert (refusal.code, refusal.status, refusal.context["status"]) == (code, 409, status)
        assert status in refusal.detail
        assert len(run.events) == before
        assert run.run.status is status
        return
    assert run.refusal is None
    after = run.run.status
    assert after is status or after in RUN_TRANSITIONS[status]
    match command:
        case "pause":
            assert after is RunStatus.PAUSED
        case "resume" | "start":
            assert after is RunStatus.RUNNING
        case "cancel":
            assert after is RunStatus.CANCELLED
            assert all(row["completed_at"] is not None for row in run.history.steps.values())
            assert not [row for row in run.history.approvals.values() if row["status"] == "PENDING"]
        case _:
            assert len(run.run.waiting) == 1


@pytest.mark.parametrize("status", [status for status in RunStatus if not RUN_TRANSITIONS[status]])
def test_nothing_moves_a_run_that_has_ended(status):
    run = in_status(status)
    before = len(run.events)
    for row in list(run.history.steps.values()):
        step, attempt = row["step_id"], row["attempt"]
        claim = messages.ClaimStep(step_id=step, attempt=attempt, runner="r#1", agent_run_id="a")
        assert run.tell(claim).verdict == "skip"
        run.tell(messages.WakeStep(step_id=step, attempt=attempt))
        run.tell(messages.HandOutAgain(step_id=step, attempt=attempt, token=row["token"] or 0, reason="gone"))
        run.tell(messages.Evaluated(step_id=step, matched=0))
    run.tell(messages.ReachDeadline())
    for identity in run.history.approvals:
        run.tell(messages.DecideApproval(approval_id=identity, by="user:bob", approve=True))
        assert run.refusal == "run_ended"
    assert len(run.events) == before
    late = messages.ReportStep(step_id="nowhere", attempt=1, token=9, runner="r#1", output=1)
    assert run.tell(late).verdict == "fenced"
    assert run.facts[before:] == ["late_result_ignored"]
    assert run.run.status is status


def test_a_run_that_is_paused_before_it_starts_starts_on_resume():
    run = DrivenRun(workflow(agent()), started=False)
    run.pause()
    run.tell(messages.Start())
    assert run.refusal == "transition_not_allowed"
    run.resume()
    assert (run.status, len(run.handed_out)) == ("RUNNING", 1)


def test_in_a_paused_run_everything_is_recorded_and_nothing_moves():
    run = in_status(RunStatus.PAUSED)
    entered = run.entered()
    run.work("held", "done")
    assert run.claim(run.step("queued")).verdict == "skip"
    run.approve("ask")
    run.signal("go", "here")
    run.now += 2_000_000
    timer = run.step("timer")
    assert run.tell(messages.WakeStep(step_id=timer.step_id, attempt=1)).events == []
    assert run.tell(messages.ReachDeadline()).events == []

    assert (run.status, run.entered()) == ("PAUSED", entered)
    assert run.of("state_exited") == []
    assert [run.row(name)["status"] for name in ("held", "queued", "ask", "wait", "timer")] == [
        "SUCCEEDED",
        "PENDING",
        "SUCCEEDED",
        "RUNNING",
        "RUNNING",
    ]
    decision = run.resume()
    assert [task.step_id for task in decision.tasks] == [run.step("queued").step_id]
    assert {step.state_name for step in run.open()} == {"queued", "timer"}
    run.let_pass(0)
    run.work("queued", 2)
    branches = run.run.output
    assert run.status == "COMPLETED"
    assert [branches[name]["result"] for name in ("one", "two", "four")] == ["done", 2, "here"]


@pytest.mark.parametrize(
    ("happen", "after"),
    [
        (lambda run: run.reject("ask"), "CANCELLED"),
        (lambda run: run.break_down("held"), "FAILED"),
    ],
)
def test_what_would_have_ended_a_paused_run_ends_it_on_resume(happen, after):
    run = DrivenRun(workflow(parallel("p", one=[agent("held")], two=[ASK])))
    run.claimed(run.step("held"))
    run.pause()
    happen(run)
    assert run.status == "PAUSED"
    run.resume()
    if run.run.ended is None:
        run.approve("ask")
    assert run.status == after


def test_a_deadline_that_passed_during_a_pause_counts_on_resume():
    run = DrivenRun(workflow(ASK))
    run.pause()
    run.now += 2_000_000
    run.approve("ask")
    assert run.refusal == "deadline_passed"
    run.resume()
    run.let_pass(0)
    assert (run.status, run.error.type) == ("FAILED", "timeout")


def test_a_failure_in_a_pause_backs_off_from_the_resume_on():
    run = DrivenRun(workflow(agent("a", retry={"maxAttempts": 2, "backoffSeconds": 10})))
    run.claimed(run.step("a"))
    run.pause()
    run.break_down("a")
    run.now += 60_000
    run.resume()
    assert run.step("a").wake_at == run.now + 10_000
    run.let_pass(10)
    run.work("a", 1)
    assert run.status == "COMPLETED"


def test_a_back_off_that_ended_in_a_pause_is_over_on_resume():
    run = DrivenRun(workflow(agent("a", retry={"maxAttempts": 2, "backoffSeconds": 10})))
    run.break_down("a")
    run.pause()
    run.now += 60_000
    assert run.tell(messages.WakeStep(step_id=run.step("a").step_id, attempt=2)).tasks == []
    run.resume()
    run.let_pass(0)
    run.work("a", 1)
    assert run.status == "COMPLETED"


def test_a_runner_lost_in_a_pause_is_replaced_on_resume():
    run = DrivenRun(workflow(agent("a")))
    step = run.step("a")
    token = run.claimed(step)
    run.pause()
    decision = run.tell(messages.HandOutAgain(step_id=step.step_id, attempt=1, token=token, reason="gone"))
    assert (decision.tasks, run.step("a").status) == ([], "PENDING")
    assert len(run.resume().tasks) == 1
    run.work("a", 1)
    assert run.status == "COMPLETED"


def test_items_that_end_in_a_pause_make_room_on_resume():
    run = DrivenRun(
        workflow(foreach("f", "list", agent("a", next="b"), agent("b"), maxConcurrency=2)), {"list": [1, 2, 3]}
    )
    for step in run.open("a"):
        run.claimed(step)
    run.pause()
    for step in run.open("a"):
        run.report(step, step.token, 1)
    run.resume()
    assert len(run.open("b")) == 2
    run.work("b", 1, key=0)
    assert len(run.open("a")) == 1


def test_two_signals_in_a_pause_serve_two_that_wait():
    run = DrivenRun(workflow(parallel("p", one=[WAIT], two=[WAIT])))
    run.pause()
    run.signal("go", 1)
    run.signal("go", 2)
    run.signal("go", 3)
    run.resume()
    assert run.run.output == {"one": {"result": 1}, "two": {"result": 2}}
    assert len(run.run.waiting) == 1


def test_cancel_in_a_pause_keeps_what_was_done():
    run = in_status(RunStatus.PAUSED)
    step = run.step("held")
    token = run.claimed(step)
    run.work("held", "done")
    run.cancel()
    assert run.row("held")["status"] == "SUCCEEDED"
    assert run.report(step, token, "done").verdict == "accepted"
    assert run.decisions[-1].events == []


def test_a_result_after_a_cancel_is_noted_and_changes_nothing():
    run = DrivenRun(workflow(agent("a")))
    step = run.step("a")
    token = run.claimed(step)
    run.cancel()
    assert run.report(step, token, "late").verdict == "fenced"
    error = StepError(type=ErrorType.CANCELLED, message="stopped")
    assert run.report(step, token, error=error).verdict == "fenced"
    notes = [event.data.outcome for event in run.of("late_result_ignored")]
    assert notes == ["succeeded", "cancelled: stopped"]
    assert run.row("a")["output"] is None
