"""What agents use is added up for the step and for the run, whatever became of their results."""

from __future__ import annotations

import pytest

from station.contracts.errors import ErrorType, StepError
from station.contracts.usage import AgentUse, Budget, Usage
from station.core.messages import HandOutAgain
from station.core.spending import left, total, used_up
from tests.support.driven_run import DrivenRun, loaded
from tests.unit.core.definitions import agent, workflow

USED = Usage(requests=1, input_tokens=100, output_tokens=20, tool_calls=2, cost_usd=0.5)
TWICE = Usage(requests=2, input_tokens=200, output_tokens=40, tool_calls=4, cost_usd=1.0)
AGENT = AgentUse(name="x", environment="default", model="openai/m", digest="d")
BROKEN = StepError(type=ErrorType.AGENT_ERROR, message="it broke")


def test_a_success_and_a_failure_say_what_they_used_and_which_agent_it_was():
    run = DrivenRun(workflow(agent("a", next="b"), agent("b")))
    for name, error in (("a", None), ("b", BROKEN)):
        step = run.step(name)
        run.report(step, run.claimed(step), 1, error, usage=USED, agent=AGENT)
    assert run.run.usage == TWICE
    assert [run.row(name)["agent"] for name in "ab"] == [
        '{"name":"x","environment":"default","model":"openai/m","digest":"d"}'
    ] * 2
    assert '"inputTokens":100' in run.row("a")["usage"]


def test_the_next_attempt_has_what_earlier_ones_left_of_the_budget():
    run = DrivenRun(workflow(agent("a", retry={"maxAttempts": 2}, budget={"maxTokens": 150, "maxToolCalls": 1})))
    (first,) = run.decisions[-1].tasks
    assert first.budget == Budget(max_tokens=150, max_tool_calls=1)
    step = run.step("a")
    (second,) = run.report(step, run.claimed(step), error=BROKEN, usage=USED).tasks
    assert second.budget == Budget(max_tokens=30, max_tool_calls=0)
    step = run.step("a")
    run.report(step, run.claimed(step), 1, usage=USED)
    assert run.run.usage == TWICE, "each attempt counts once"


def test_what_a_stopped_attempt_used_is_not_lost_and_an_attempt_that_is_done_again_goes_on_from_there():
    run = DrivenRun(workflow(agent("a", budget={"maxTokens": 150})))
    step = run.step("a")
    stopped = HandOutAgain(
        step_id=step.step_id, attempt=1, token=run.claimed(step), reason="r", runner="r#1", usage=USED
    )
    (task,) = run.tell(stopped).tasks
    assert task.budget == Budget(max_tokens=30)
    assert run.run.usage == USED
    run.tell(stopped)
    assert run.run.usage == USED, "its report came twice"


def test_a_late_result_changes_nothing_but_the_bill_and_that_once():
    run = DrivenRun(workflow(agent("a")))
    step = run.step("a")
    token = run.claimed(step)
    run.cancel()
    for _ in range(2):
        assert run.report(step, token, 1, usage=USED).verdict == "fenced"
    assert run.run.usage == USED
    assert run.status == "CANCELLED"


def test_a_run_with_a_budget_meters_its_steps_and_one_without_does_not():
    assert DrivenRun(workflow(agent("a"), budget={"maxCostUsd": 2})).decisions[-1].tasks[0].metered
    assert not DrivenRun(workflow(agent("a", budget={"maxCostUsd": 2}))).decisions[-1].tasks[0].metered


@pytest.mark.parametrize(
    ("of_run", "of_step", "priced"),
    [(None, None, False), ({"maxTokens": 2}, {"maxToolCalls": 2}, False), ({"maxCostUsd": 2}, None, True),
     (None, {"maxCostUsd": 0}, True)],
)  # fmt: skip
def test_a_task_says_whether_a_price_must_be_known(
    of_run: dict[str, float] | None, of_step: dict[str, float] | None, *, priced: bool
) -> None:
    step = agent("a", budget=of_step) if of_step else agent("a")
    run = DrivenRun(workflow(step, budget=of_run) if of_run else workflow(step))
    assert run.decisions[-1].tasks[0].priced is priced


def test_a_task_carries_the_version_that_the_run_is_bound_to():
    run = DrivenRun(workflow(agent("a", next="b"), agent("b", input={"agent": "y"})), agents={"x": "digest of x"})
    (task,) = run.decisions[-1].tasks
    assert task.digest == "digest of x"
    (other,) = run.work("a").tasks
    assert other.digest is None


def test_a_cost_that_is_known_in_part_is_a_cost_and_one_that_is_not_known_is_none():
    free = Usage(requests=1)
    assert total(free, free) == Usage(requests=2)
    assert total(USED, free) == Usage(requests=2, input_tokens=100, output_tokens=20, tool_calls=2, cost_usd=0.5)
    assert total(None, USED) is USED


@pytest.mark.parametrize(
    ("budget", "tool", "words"),
    [
        ({"max_tokens": 120}, False, "used 120 tokens, and its budget is 120"),
        ({"max_tokens": 121}, False, None),
        ({"max_cost_usd": 0.5}, False, "cost 0.5000 USD"),
        ({"max_cost_usd": 0.51}, True, None),
        ({"max_tool_calls": 2}, True, "called tools 2 times"),
        ({"max_tool_calls": 2}, False, None),
        ({}, True, None),
    ],
)
def test_a_limit_that_is_reached_forbids_the_next_call(budget, tool, words):
    said = used_up(Budget(**budget), USED, whose="the run", tool=tool)
    assert (said is None) if words is None else (said is not None and words in said)


def test_what_is_left_is_never_less_than_nothing():
    limits = loaded(workflow(agent(), budget={"maxTokens": 100, "maxCostUsd": 1, "maxToolCalls": 1})).budget
    assert limits is not None
    assert left(limits, USED) == Budget(max_tokens=0, max_cost_usd=0.5, max_tool_calls=0)
