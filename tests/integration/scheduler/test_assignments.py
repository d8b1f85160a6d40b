"""What follows from a report goes to the runner that made it, unless somebody else should have it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from station.contracts.work import Heartbeat, HeldStep, ReportAnswer, ReportResults, StepRef, StepResult
from tests.support.scheduler_house import BOOT, CONTEXT, RUNNER, Clock, House, agent, house


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def home(tmp_path: Path, url: str, clock: Clock) -> AsyncGenerator[House]:
    async with house(tmp_path, url, clock=clock, background=False) as opened:
        await opened.scheduler.reconcile.once()
        await opened.announce()
        await opened.create(agent("a", "b"), agent("b", "c"), agent("c"))
        yield opened


async def reported(home: House, step: StepRef, token: int | None, wants: int = 1, boot: int = BOOT) -> ReportAnswer:
    result = StepResult(run_id=step.run_id, step_id=step.step_id, attempt=step.attempt, token=token or 0, output=1)
    request = ReportResults(runner=RUNNER, boot=boot, results=(result,), wants=wants)
    return await home.by.steps.report(request, CONTEXT)


async def begun(home: House) -> tuple[StepRef, int | None]:
    run = await home.start()
    (step,) = home.open_steps(run.id)
    (claim,) = await home.claim(step)
    return step, claim.token


async def test_a_run_goes_through_one_runner_with_one_claim(home):
    step, token = await begun(home)
    for name in ("b", "c"):
        (given,) = (await reported(home, step, token)).assigned
        assert given.task.state_name == name
        assert given.lease_seconds > 0
        assert given.agent_run_id.startswith("ar_")
        assert given.traceparent
        step = StepRef(run_id=given.task.run_id, step_id=given.task.step_id, attempt=given.task.attempt)
        token = given.token
    assert (await reported(home, step, token)).assigned == ()
    assert home.status(step.run_id) == "COMPLETED"
    started = home.rows(
        "SELECT json_extract(data, '$.assigned') FROM workflow_run_events WHERE type = 'step_started' ORDER BY seq"
    )
    assert started == [(None,), (1,), (1,)], "only the first one was claimed"


async def test_nothing_is_given_to_who_wants_nothing_or_is_not_the_newest_start(home):
    step, token = await begun(home)
    assert (await reported(home, step, token, wants=0)).assigned == ()
    (following,) = home.open_steps(step.run_id)
    (claim,) = await home.claim(following)
    await home.announce(boot=BOOT + 1)
    assert (await reported(home, following, claim.token)).verdicts == ("fenced",)
    assert home.open_steps(step.run_id) == [following]


async def test_the_answer_is_given_again_and_the_lease_is_a_lease(home, clock):
    step, token = await begun(home)
    (given,) = (await reported(home, step, token)).assigned
    assert (await reported(home, step, token)).assigned == (given,)
    held = HeldStep(run_id=step.run_id, step_id=given.task.step_id, attempt=1, token=given.token)
    assert (await home.by.steps.heartbeat(Heartbeat(runner=RUNNER, boot=BOOT, steps=(held,)), CONTEXT)).lost == ()
    clock.advance(20)
    await home.scheduler.reconcile.once()
    (waiting,) = home.open_steps(step.run_id)
    assert waiting.step_id == given.task.step_id
    assert (await reported(home, step, token)).assigned == ()


async def test_who_has_waited_for_long_is_not_overtaken(home, clock):
    step, token = await begun(home)
    await home.start()
    clock.advance(1)
    assert (await reported(home, step, token)).assigned == ()
    assert len(home.open_steps(step.run_id)) == 1
