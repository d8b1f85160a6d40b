"""Claims, fencing tokens, reports and attempts that lose their runner."""

from __future__ import annotations

from station.contracts.errors import ErrorType, StepError
from station.core.messages import ClaimStep, HandOutAgain, ReportStep
from tests.support.driven_run import DrivenRun
from tests.unit.core.definitions import agent, approval, foreach, inject, switch, workflow


def again(run, step, token):
    return run.tell(HandOutAgain(step_id=step.step_id, attempt=step.attempt, token=token, reason="lease expired"))


def test_a_claim_gives_the_token_and_records_who_and_under_which_id_before_the_work_begins():
    run = DrivenRun(workflow(agent("a", timeoutSeconds=30)))
    decision = run.claim(run.step("a"), "runner_9#4")
    assert (decision.verdict, decision.token) == ("run", run.run.seq)
    row = run.row("a")
    assert (row["runner"], row["token"], row["agent_run_id"]) == ("runner_9#4", decision.token, "agent_1")
    assert row["wake_at"] == run.now + 40_000


def test_a_second_claim_is_told_that_somebody_is_busy_with_it():
    run = DrivenRun(workflow(agent("a")))
    step = run.step("a")
    runners = ["r1#1", "r2#1", "r1#2"]
    assert [run.claim(step, runner).verdict for runner in runners] == ["run", "busy", "busy"]
    assert len(run.of("step_started")) == 1


def test_the_same_start_of_a_runner_gets_its_answer_again():
    run = DrivenRun(workflow(agent("a")))
    step = run.step("a")
    first, second = run.claim(step), run.claim(step)
    assert (second.verdict, second.token, second.agent_run_id) == ("run", first.token, "agent_1")
    assert second.events == []


def test_claims_of_what_is_over_unknown_or_not_for_runners_are_skipped():
    run = DrivenRun(workflow(agent("a", next="b"), approval() | {"name": "b"}))
    step = run.step("a")
    run.work("a", 1)
    asked = run.step("b")
    for step_id, attempt in [(step.step_id, 1), (step.step_id, 2), ("nothing", 1), (asked.step_id, 1)]:
        claim = ClaimStep(step_id=step_id, attempt=attempt, runner="r#1", agent_run_id="a")
        assert run.tell(claim).verdict == "skip"
        assert run.decisions[-1].events == []


def test_the_same_report_twice_is_accepted_twice_and_recorded_once():
    run = DrivenRun(workflow(agent("a", next="b"), agent("b")))
    step = run.step("a")
    token = run.claimed(step)
    assert [run.report(step, token, 1).verdict for _ in range(3)] == ["accepted"] * 3
    run.work("b", 2)
    assert run.report(step, token, 1).verdict == "accepted"
    assert run.facts.count("step_succeeded") == 2
    assert "late_result_ignored" not in run.facts


def test_a_failure_reported_twice_makes_one_more_attempt():
    run = DrivenRun(workflow(agent("a", retry={"maxAttempts": 5})))
    step = run.step("a")
    token = run.claimed(step)
    error = StepError(type=ErrorType.AGENT_ERROR, message="m")
    for _ in range(3):
        assert run.report(step, token, error=error, attempt=1).verdict == "accepted"
    assert run.step("a").attempt == 2
    assert "late_result_ignored" not in run.facts


def test_handing_out_again_voids_the_token_and_keeps_the_attempt():
    run = DrivenRun(workflow(agent("a", timeoutSeconds=30)))
    step = run.step("a")
    first = run.claimed(step)
    decision = again(run, step, first)
    assert [task.attempt for task in decision.tasks] == [1]
    row = run.row("a")
    assert (row["status"], row["token"], row["runner"], row["agent_run_id"], row["wake_at"]) == (
        "PENDING",
        None,
        None,
        None,
        None,
    )
    assert run.report(step, first, "late").verdict == "fenced"

    second = run.claimed(run.step("a"))
    assert second > first
    assert run.report(step, first, "late").verdict == "fenced"
    assert run.report(step, second, "good").verdict == "accepted"
    assert run.report(step, first, "late").verdict == "fenced"
    assert run.run.output == "good"
    assert len(run.of("late_result_ignored")) == 3


def test_handing_out_again_with_a_token_that_is_not_held_does_nothing():
    run = DrivenRun(workflow(agent("a", retry={"maxAttempts": 2})))
    step = run.step("a")
    first = run.claimed(step)
    assert again(run, step, first + 1).events == []
    again(run, step, first)
    assert again(run, step, first).events == []
    second = run.claimed(run.step("a"))
    assert again(run, step, first).events == []
    run.report(step, second, error=StepError(type=ErrorType.AGENT_ERROR, message="m"))
    assert again(run, step, second).events == []
    run.work("a", 1)
    assert again(run, step, second).events == []


def test_a_report_for_an_older_attempt_is_fenced():
    run = DrivenRun(workflow(agent("a", timeoutSeconds=1, retry={"maxAttempts": 3})))
    step = run.step("a")
    token = run.claimed(step)
    run.let_pass(11)
    assert run.step("a").attempt == 2
    run.claimed(run.step("a"))
    assert run.report(step, token, "late", attempt=1).verdict == "fenced"
    assert run.step("a").status == "RUNNING"
    assert run.report(step, token, "late", attempt=2).verdict == "fenced"


def test_the_smaller_timeout_and_the_agents_environment_go_with_the_task():
    given = {"agent": "x@other", "timeoutSeconds": 5}
    run = DrivenRun(workflow(agent("a", input=given, timeoutSeconds=30)))
    (task,) = run.handed_out.values()
    assert (task.agent, task.environment, task.timeout_seconds) == ("x", "other", 5)
    assert (task.workflow_id, task.state_name, task.run_id) == ("w", "a", "run_1")


def test_a_result_after_the_schedulers_own_timeout_is_fenced_and_noted():
    run = DrivenRun(workflow(agent("a", timeoutSeconds=1, onError="b"), agent("b")))
    step = run.step("a")
    token = run.claimed(step)
    run.let_pass(11)
    assert run.report(step, token, "late").verdict == "fenced"
    assert len(run.of("late_result_ignored")) == 1


def reported(run, step, token, *ids, output: object = 1, runner="runner_1#1", environments=("default",)):
    """Report as a runner does that takes on what follows."""
    return run.tell(
        ReportStep(
            step_id=step.step_id,
            attempt=step.attempt,
            token=token,
            runner=runner,
            output=output,
            next_ids=ids,
            environments=frozenset(environments),
        )
    )


def test_what_follows_from_a_report_goes_to_the_runner_that_made_it_in_the_same_turn():
    run = DrivenRun(workflow(agent("a", next="b"), agent("b", timeoutSeconds=5)))
    step = run.step("a")
    decision = reported(run, step, run.claimed(step), "agent_2")
    assert (decision.tasks, [one.task.state_name for one in decision.assigned]) == ([], ["b"])
    following = run.step("b")
    assert (following.status, following.runner, following.agent_run_id) == ("RUNNING", "runner_1#1", "agent_2")
    assert decision.assigned[0].token == following.token == run.run.seq
    assert following.wake_at == run.now + 15_000
    assert run.report(following, following.token, 2).verdict == "accepted"
    assert run.status == "COMPLETED"


def test_only_as_many_as_are_wanted_and_only_where_the_runner_has_the_agents():
    def fan():
        run = DrivenRun(
            workflow(agent("a", next="f"), foreach("f", "list", agent("i"), maxConcurrency=3)), {"list": [1] * 3}
        )
        return run, run.step("a")

    run, step = fan()
    decision = reported(run, step, run.claimed(step), "x", "y")
    assert (len(decision.assigned), len(decision.tasks)) == (2, 1)
    run, step = fan()
    decision = reported(run, step, run.claimed(step), "x", environments=("elsewhere",))
    assert (len(decision.assigned), len(decision.tasks)) == (0, 3)


def test_an_answer_that_was_lost_is_given_again_with_what_was_assigned():
    run = DrivenRun(workflow(agent("a", next="b"), agent("b")))
    step = run.step("a")
    token = run.claimed(step)
    first = reported(run, step, token, "agent_2")
    again_ = reported(run, step, token, "agent_3")
    assert (again_.verdict, again_.events) == ("accepted", [])
    assert [(one.token, one.agent_run_id) for one in again_.assigned] == [(first.assigned[0].token, "agent_2")]
    assert reported(run, step, token, "agent_3", runner="runner_1#2").assigned == []
    assert run.report(run.step("b"), run.step("b").token, 2).verdict == "accepted"
    assert reported(run, step, token, "agent_4").assigned == []


def test_an_assigned_attempt_that_lost_its_runner_is_handed_out_like_any_other():
    run = DrivenRun(workflow(agent("a", next="b"), agent("b")))
    step = run.step("a")
    token = run.claimed(step)
    given = reported(run, step, token, "agent_2").assigned[0]
    assert [task.state_name for task in again(run, run.step("b"), given.token).tasks] == ["b"]
    assert reported(run, step, token, "agent_3").assigned == []
    assert run.claim(run.step("b"), "runner_2#1").verdict == "run"


def test_a_paused_run_assigns_nothing():
    run = DrivenRun(workflow(agent("a", next="b"), agent("b")))
    step = run.step("a")
    token = run.claimed(step)
    run.pause()
    assert reported(run, step, token, "agent_2").assigned == []
    assert [task.state_name for task in run.resume().tasks] == ["b"]


def test_a_step_behind_a_condition_for_the_evaluators_is_assigned_too():
    states = [
        agent("a", next="s"),
        switch({"if": "'x' + result == 'xy'", "next": "b"}, dataPath="steps.a", defaultNext="z"),
        agent("b"),
        inject("z", {}),
    ]
    run = DrivenRun(workflow(*states))
    step = run.step("a")
    decision = reported(run, step, run.claimed(step), "agent_2", output="y")
    assert [one.task.state_name for one in decision.assigned] == ["b"]
