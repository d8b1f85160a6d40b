"""Attempts of one run spend from one budget: each asks before it makes a call."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from station.contracts.errors import ErrorType, StepError
from station.contracts.usage import Usage
from station.contracts.work import Heartbeat, SpendStep, StepRef
from station.runtime.errors import Refused
from tests.support.scheduler_house import BOOT, CONTEXT, RUNNER, House, agent, held, house


@pytest.fixture
async def home(tmp_path: Path, url: str) -> AsyncGenerator[House]:
    async with house(tmp_path, url, background=False) as opened:
        await opened.scheduler.reconcile.once()
        await opened.announce()
        both = {
            "name": "both",
            "type": "parallel",
            "branches": [{"name": name, "states": [agent(name)]} for name in ("a", "b")],
        }
        await opened.create(both, budget={"maxTokens": 100, "maxToolCalls": 3})
        yield opened


async def begun(home: House) -> list[tuple[StepRef, int | None]]:
    run = await home.start()
    steps = home.open_steps(run.id)
    return [(step, claim.token) for step, claim in zip(steps, await home.claim(*steps), strict=True)]


async def asked(
    home: House, step: tuple[StepRef, int | None], tokens: int, *, calls: int = 0, tool: bool = False
) -> str | None:
    request = SpendStep(
        runner=RUNNER, boot=BOOT, step=held(*step), usage=Usage(input_tokens=tokens, tool_calls=calls), tool=tool
    )
    return (await home.by.spending.spend(request, CONTEXT)).exceeded


async def test_what_one_branch_has_used_the_other_cannot_use(home):
    a, b = await begun(home)
    assert await asked(home, a, 0) is None
    assert await asked(home, a, 60) is None, "its own sum, not one more"
    assert await asked(home, b, 30) is None
    assert "used 100 tokens" in (await asked(home, b, 40) or "")
    assert await asked(home, a, 20) is None, "only the newest word counts"


async def test_tools_are_counted_apart_and_models_may_still_be_asked(home):
    a, b = await begun(home)
    assert await asked(home, a, 0, calls=1, tool=True) is None
    assert "called tools 3 times" in (await asked(home, b, 0, calls=1, tool=True) or "")
    assert await asked(home, b, 0, calls=1) is None


async def test_calls_of_tools_that_are_allowed_side_by_side_are_never_more_than_the_budget(home):
    a, b = await begun(home)
    answers = [await asked(home, step, 0, calls=calls, tool=True) for calls in (0, 1) for step in (a, b)]
    assert [answer is None for answer in answers] == [True, True, True, False]
    assert await asked(home, b, 0, calls=1, tool=True) is not None, "asking again is not a way around it"
    assert await asked(home, a, 0, calls=1, tool=True) is None, "the same question, whose answer was lost"


async def test_a_heartbeat_that_comes_late_gives_no_call_back(home):
    a, b = await begun(home)
    assert await asked(home, a, 0, calls=2, tool=True) is None
    stale = Heartbeat(runner=RUNNER, boot=BOOT, steps=(held(*a),), usages=(Usage(tool_calls=2),))
    await home.by.steps.heartbeat(stale, CONTEXT)
    assert "called tools 3 times" in (await asked(home, b, 0, tool=True) or "")


async def test_what_was_reported_counts_once_whatever_became_of_it(home):
    a, b = await begun(home)
    await asked(home, a, 60)
    error = StepError(type=ErrorType.AGENT_ERROR, message="m")
    await home.report(*a, error=error, usage=Usage(input_tokens=60))
    assert await asked(home, b, 30) is None
    assert await asked(home, b, 40) is not None
    run = home.rows("SELECT usage FROM workflow_runs")
    assert run == [('{"inputTokens":60}',)]
    assert home.findings() == []


async def test_an_attempt_that_is_no_longer_held_is_refused_and_what_it_had_used_is_not_forgotten(home):
    a, b = await begun(home)
    await asked(home, a, 90)
    await home.announce(boot=BOOT + 1)
    with pytest.raises(Refused) as refused:
        await asked(home, a, 90)
    assert refused.value.failure.code == "attempt_lost"
    (step, *_) = [step for step in home.open_steps(b[0].run_id) if step.step_id == b[0].step_id]
    (claim,) = await home.claim(step, boot=BOOT + 1)
    assert await asked(home, (step, claim.token), 9) is None
    assert "used 120 tokens" in (await asked(home, (step, claim.token), 30) or "")
    assert home.rows("SELECT usage FROM workflow_runs") == [('{"inputTokens":90}',)]
    assert await home.report(*a, 1, usage=Usage(input_tokens=95)) == "fenced"
    assert home.rows("SELECT usage FROM workflow_runs") == [('{"inputTokens":90}',)], "its token was counted"
    assert home.findings() == []


async def test_what_a_heartbeat_told_is_known_of_a_runner_that_dies(home):
    a, b = await begun(home)
    beat = Heartbeat(
        runner=RUNNER, boot=BOOT, steps=(held(*a), held(*b)), usages=(Usage(requests=1, input_tokens=7), None)
    )
    assert (await home.by.steps.heartbeat(beat, CONTEXT)).lost == ()
    await home.announce(boot=BOOT + 1)
    (told,) = home.rows("SELECT usage FROM workflow_runs")
    assert told == ('{"requests":1,"inputTokens":7}',)
    assert home.findings() == []
