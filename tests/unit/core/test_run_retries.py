"""Retries: which failures, how many times, after which pause, and what is left to say at the end."""

from __future__ import annotations

import pytest

from station.contracts.errors import ErrorType, StepError
from station.core.definition import Retry
from station.core.retries import backoff_ms, may_retry
from tests.support.driven_run import DrivenRun
from tests.unit.core.definitions import action, agent, approval, foreach, parallel, workflow

DEFAULT_NO = {"expression", "payload_too_large", "budget_exceeded", "cancelled", "limit"}


def retrying(attempts=3, **more):
    return {"retry": {"maxAttempts": attempts, **more}}


@pytest.mark.parametrize("kind", list(ErrorType))
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("retryable", [False, True])
def test_which_errors_are_tried_again(kind, named, retryable):
    policy = Retry(max_attempts=2, on=(kind.value,) if named else None)
    error = StepError(type=kind, message="m", retryable=retryable)
    assert may_retry(policy, 1, error) is (named or (retryable and kind.value not in DEFAULT_NO))
    assert not may_retry(policy, 2, error)


def test_on_leaves_out_what_it_does_not_name():
    policy = Retry(max_attempts=2, on=("timeout",))
    assert not may_retry(policy, 1, StepError(type=ErrorType.AGENT_ERROR, message="m"))


@pytest.mark.parametrize(
    ("policy", "pauses"),
    [
        ({}, [0, 0, 0]),
        ({"backoff_seconds": 2}, [2000, 2000, 2000]),
        ({"backoff_seconds": 2, "multiplier": 3}, [2000, 6000, 18000]),
        ({"backoff_seconds": 2, "multiplier": 3, "max_backoff_seconds": 5}, [2000, 5000, 5000]),
        ({"backoff_seconds": 9, "max_backoff_seconds": 5}, [5000, 5000, 5000]),
    ],
)
def test_the_pause_grows_up_to_its_cap(policy, pauses):
    assert [backoff_ms(Retry(max_attempts=9, **policy), "s", attempt) for attempt in (1, 2, 3)] == pauses


def test_jitter_spreads_around_the_pause_and_is_the_same_on_every_replay():
    policy = Retry(max_attempts=9, backoff_seconds=10, jitter=0.5)
    pauses = [backoff_ms(policy, f"step{index}", 1) for index in range(200)]
    assert all(5000 <= pause <= 15000 for pause in pauses)
    assert min(pauses) < 6500
    assert max(pauses) > 13500
    assert pauses == [backoff_ms(policy, f"step{index}", 1) for index in range(200)]
    assert backoff_ms(policy, "s", 1) != backoff_ms(policy, "s", 2)


@pytest.mark.parametrize("jitter", [0, 1])
def test_a_pause_never_grows_out_of_bounds(jitter):
    policy = Retry(max_attempts=1000, backoff_seconds=10, multiplier=1000, jitter=jitter)
    assert 0 <= backoff_ms(policy, "s", 999) <= 2 * 366 * 24 * 3600 * 1000


def test_each_failure_makes_one_more_attempt_of_the_same_step_and_the_last_is_wrapped():
    run = DrivenRun(workflow(agent("a", **retrying(backoffSeconds=5, multiplier=2))))
    first = run.step("a").step_id
    for pause in (5, 10):
        run.break_down("a")
        assert (run.status, run.step("a").step_id, run.handed_out) == ("RUNNING", first, {})
        run.let_pass(pause - 0.001)
        assert run.handed_out == {}
        run.let_pass(0.001)
        assert len(run.handed_out) == 1
    run.break_down("a", "tool_error")

    assert [row["attempt"] for row in run.history.steps.values()] == [1, 2, 3]
    assert [row["status"] for row in run.history.steps.values()] == ["FAILED"] * 3
    error = run.error
    assert (run.status, error.type, error.retryable) == ("FAILED", "retry_exhausted", False)
    assert [(cause.type, cause.message) for cause in error.causes] == [("tool_error", "a broke")]
    assert "3 attempts" in error.message


def test_an_attempt_that_succeeds_ends_the_retries():
    run = DrivenRun(workflow(agent("a", **retrying())))
    run.break_down("a")
    run.work("a", "well")
    assert (run.status, run.run.output, run.row("a")["attempt"]) == ("COMPLETED", "well", 2)


def test_an_error_that_is_not_covered_is_not_wrapped():
    run = DrivenRun(workflow(agent("a", **retrying())))
    run.break_down("a")
    run.break_down("a", "budget_exceeded")
    assert run.error.type == "budget_exceeded"


def test_a_single_attempt_is_not_wrapped():
    run = DrivenRun(workflow(agent("a", **retrying(1))))
    run.break_down("a")
    assert run.error.type == "agent_error"


def test_on_error_comes_after_the_last_attempt():
    run = DrivenRun(workflow(agent("a", onError="b", **retrying(2)), agent("b")))
    run.break_down("a")
    assert run.entered() == ["a"]
    run.break_down("a")
    assert run.context["error"]["type"] == "retry_exhausted"


def test_the_input_is_rendered_once_for_all_attempts_and_each_has_its_key():
    run = DrivenRun(workflow(agent("a", input={"agent": "x", "task": "{{ n }}"}, **retrying(2))), {"n": 4})
    step = run.step("a")
    first = run.handed_out[step.step_id, 1]
    run.break_down("a")
    second = run.handed_out[step.step_id, 2]
    assert (first.task, second.task) == ("4", "4")
    assert (first.idempotency_key, second.idempotency_key) == (f"run_1:{step.step_id}:1", f"run_1:{step.step_id}:2")


def test_a_timeout_of_the_scheduler_is_tried_again_and_stops_the_runner():
    run = DrivenRun(workflow(agent("a", timeoutSeconds=30, **retrying(2))))
    token = run.claimed(run.step("a"))
    run.let_pass(39.9)
    assert run.step("a").status == "RUNNING"
    run.let_pass(0.1)
    assert run.row("a", 1)["status"] == "TIMED_OUT"
    assert [stop.token for decision in run.decisions for stop in decision.stops] == [token]
    assert run.step("a").attempt == 2


@pytest.mark.parametrize(
    "state",
    [
        agent("a", input={"agent": "x", "task": "{{ nope }}"}, **retrying(3, on=["validation"])),
        agent("a", input={"agent": "x", "variables": "{{ n }}"}, **retrying(3, on=["validation"])),
        action("timer.wait", until="{{ text }}") | retrying(3, on=["validation"]),
    ],
)
def test_an_input_that_cannot_be_made_is_not_tried_again(state):
    run = DrivenRun(workflow(state), {"n": 1, "text": "soon"})
    assert (run.status, run.error.type, run.row("a")["attempt"]) == ("FAILED", "validation", 1)


@pytest.mark.parametrize(
    "state",
    [
        approval() | retrying(3, on=["timeout"]),
        action("signal.wait", signal="s", timeoutSeconds=60) | retrying(3, on=["timeout"]),
    ],
)
def test_waits_are_never_tried_again(state):
    run = DrivenRun(workflow(state))
    run.let_pass(60)
    assert (run.status, run.error.type, run.row("a")["attempt"]) == ("FAILED", "timeout", 1)


def test_a_back_off_deep_inside_delays_nobody_else():
    inner = parallel("p", one=[agent("a", **retrying(2, backoffSeconds=100))], two=[agent("b")])
    run = DrivenRun(workflow(foreach("f", "list", inner, maxConcurrency=2)), {"list": [1, 2]})
    first, second = run.open("a")
    run.report(first, run.claimed(first), error=StepError(type=ErrorType.AGENT_ERROR, message="m"))
    run.report(second, run.claimed(second), 2)
    for step in run.open("b"):
        run.report(step, run.claimed(step), 3)
    assert [step.state_name for step in run.open()] == ["a"]
    assert run.status == "RUNNING"
    run.let_pass(100)
    run.work("a", 1)
    assert run.run.output == [{"result": {"one": {"result": n}, "two": {"result": 3}}} for n in (1, 2)]


def test_a_claim_during_a_back_off_is_turned_away():
    run = DrivenRun(workflow(agent("a", **retrying(2, backoffSeconds=9))))
    run.break_down("a")
    assert run.claim(run.step("a")).verdict == "skip"
    run.let_pass(9)
    assert run.claim(run.step("a")).verdict == "run"
