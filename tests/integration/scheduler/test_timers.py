"""Timers and deadlines, with the clock in the test's hands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from station.contracts.errors import ErrorType, StepError
from station.runtime.clock import to_rfc3339
from station.scheduler.engine.timers import Timers
from tests.support.scheduler_house import Clock, House, agent, approval, house, starlark, timer, waiting
from tests.support.waiting import eventually


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def home(tmp_path: Path, still_url: str, clock: Clock) -> AsyncGenerator[House]:
    async with house(tmp_path, still_url, clock=clock, background=False) as opened:
        await opened.announce()
        firing = asyncio.ensure_future(opened.scheduler.timers.run())
        yield opened
        firing.cancel()


def look(home: House) -> Timers:
    """Have the timers look at the clock now."""
    home.scheduler.timers._sooner.set()
    return home.scheduler.timers


async def reaches(home: House, run_id: str, status: str) -> None:
    await eventually(lambda: home.status(run_id) == status)


async def quiet(home: House) -> None:
    """Whatever is due now has been fired and stored."""
    look(home)
    for _ in range(20):
        await asyncio.sleep(0)
    await home.writer.barrier()


async def test_a_timer_fires_at_its_moment_and_not_before(home, clock):
    await home.create(timer("t", 60))
    run = await home.start()
    clock.advance(59.999)
    await quiet(home)
    assert home.status(run.id) == "RUNNING"
    clock.advance(0.001)
    look(home)
    await reaches(home, run.id, "COMPLETED")


async def test_timers_fire_in_the_next_life(tmp_path, still_url, clock):
    async with house(tmp_path, still_url, clock=clock, background=False) as first:
        await first.create(timer("t", 60), identity="pause")
        await first.create(waiting("w"), identity="late", timeoutSeconds=60)
        await first.create(approval("ok", timeoutSeconds=60), identity="question")
        await first.create(waiting("w", timeoutSeconds=60), identity="signal")
        runs = [(await first.start(name)).id for name in ("pause", "late", "question", "signal")]
    clock.advance(3600)
    async with house(tmp_path, still_url, clock=clock) as second:
        wanted = ["COMPLETED", "TIMED_OUT", "FAILED", "FAILED"]
        await eventually(lambda: [second.status(run_id) for run_id in runs] == wanted)
        assert second.rows("SELECT status FROM workflow_approvals") == [("TIMED_OUT",)]


async def test_a_clock_that_is_set_forward_brings_moments_and_shortens_no_time(home, clock):
    until = timer("t", 0) | {"input": {"until": to_rfc3339(clock.wall + 3_600_000)}}
    await home.create(until, identity="moment")
    await home.create(approval("ok", timeoutSeconds=3600), identity="question")
    await home.create(waiting("w"), identity="late", timeoutSeconds=3600)
    await home.create(timer("t", 3600), identity="pause")
    await home.create(waiting("w", timeoutSeconds=3600), identity="signal")
    names = ("moment", "question", "late", "pause", "signal")
    moment, question, late, pause, signal = [(await home.start(name)).id for name in names]
    clock.set_by(3601)
    # Nobody tells the timers: they look at least once a second.
    for run_id, status in ((moment, "COMPLETED"), (question, "FAILED"), (late, "TIMED_OUT")):
        await reaches(home, run_id, status)
    await home.scheduler.sweep.once()
    await quiet(home)
    assert (home.status(pause), home.status(signal)) == ("RUNNING", "WAITING_SIGNAL")
    clock.advance(3600)
    look(home)
    for run_id, status in ((pause, "COMPLETED"), (signal, "FAILED")):
        await reaches(home, run_id, status)


async def test_a_clock_that_is_set_back_delays_moments_and_lengthens_no_time(home, clock):
    await home.create(timer("t", 60), identity="pause")
    await home.create(approval("ok", timeoutSeconds=60), identity="question")
    pause, question = (await home.start("pause")).id, (await home.start("question")).id
    clock.set_by(-3600)
    clock.advance(60)
    look(home)
    await reaches(home, pause, "COMPLETED")
    await quiet(home)
    assert home.status(question) == "WAITING_APPROVAL"
    clock.advance(3600)
    look(home)
    await reaches(home, question, "FAILED")
    stamps = home.rows("SELECT at FROM workflow_run_events WHERE run_id = ? ORDER BY seq", pause)
    assert stamps == sorted(stamps)
    assert stamps[-1][0] - stamps[0][0] == 60_000


async def test_a_clock_that_is_set_back_over_a_restart_makes_no_wait_longer_than_it_was(tmp_path, still_url, clock):
    async with house(tmp_path, still_url, clock=clock, background=False) as first:
        await first.create(timer("t", 60))
        run = await first.start()
    clock.set_by(-3600)
    async with house(tmp_path, still_url, clock=clock) as second:
        clock.advance(59)
        await quiet(second)
        assert second.status(run.id) == "RUNNING"
        clock.advance(1)
        look(second)
        await reaches(second, run.id, "COMPLETED")


async def test_a_back_off_is_over_after_its_time_though_the_clock_was_set_back(home, clock):
    await home.create(agent("a", retry={"maxAttempts": 2, "backoffSeconds": 30, "jitter": 0}))
    run = await home.start()
    (first,) = home.open_steps(run.id)
    (claim,) = await home.claim(first)
    await home.report(first, claim.token, error=StepError(type=ErrorType.AGENT_ERROR, message="no", retryable=True))
    clock.set_by(-3600)
    (second,) = home.open_steps(run.id)
    clock.advance(29)
    await quiet(home)
    (early,) = await home.claim(second)
    assert early.verdict == "skip"
    clock.advance(1)
    look(home)
    await eventually(lambda: home.scheduler.attempts.handed_out(second))
    await home.work(run.id, 1)
    assert home.status(run.id) == "COMPLETED"


async def test_a_clock_that_is_set_back_while_a_timer_fires_loses_it_not(home, clock):
    until = timer("t", 0) | {"input": {"until": to_rfc3339(clock.wall + 60_000)}}
    await home.create(until)
    run = await home.start()
    decide = home.scheduler.engine._decide

    def set_back_first(*arguments):
        home.scheduler.engine._decide = decide
        clock.set_by(-30)
        return decide(*arguments)

    home.scheduler.engine._decide = set_back_first
    clock.advance(60)
    look(home)
    await eventually(lambda: home.scheduler.engine._decide == decide)
    clock.advance(31)
    look(home)
    await reaches(home, run.id, "COMPLETED")


async def test_a_paused_run_keeps_its_timers_until_it_is_resumed(home, clock):
    await home.create(timer("t", 60), identity="pause")
    await home.create(waiting("w"), identity="late", timeoutSeconds=60)
    pause, late = (await home.start("pause")).id, (await home.start("late")).id
    for run_id in (pause, late):
        await home.control("pause", run_id)
    clock.advance(3600)
    await quiet(home)
    assert {home.status(pause), home.status(late)} == {"PAUSED"}
    for run_id in (pause, late):
        await home.control("resume", run_id)
    await reaches(home, pause, "COMPLETED")
    await reaches(home, late, "TIMED_OUT")


async def test_a_run_that_was_paused_over_a_restart_keeps_them_too(tmp_path, still_url, clock):
    async with house(tmp_path, still_url, clock=clock, background=False) as first:
        await first.create(timer("t", 60))
        run = await first.start()
        await first.control("pause", run.id)
    clock.advance(3600)
    async with house(tmp_path, still_url, clock=clock) as second:
        await second.writer.barrier()
        assert second.status(run.id) == "PAUSED"
        await second.control("resume", run.id)
        await reaches(second, run.id, "COMPLETED")


async def test_an_attempt_that_hangs_is_timed_out_and_tried_again(home, clock):
    retry = {"maxAttempts": 2, "backoffSeconds": 30, "jitter": 0}
    await home.create(agent("a", timeoutSeconds=60, retry=retry))
    run = await home.start()
    (claim,) = await home.claim(*home.open_steps(run.id))
    clock.advance(60 + 10)
    look(home)
    await eventually(lambda: "step_retry_scheduled" in home.events(run.id))
    (second,) = home.open_steps(run.id)
    assert second.attempt == 2
    (early,) = await home.claim(second)
    assert early.verdict == "skip"
    clock.advance(30)
    await quiet(home)
    await eventually(lambda: (run.id, second.step_id) in home.scheduler.attempts.dispatches)
    await home.work(run.id, 1)
    assert home.status(run.id) == "COMPLETED"
    assert claim.verdict == "run"


async def test_a_turn_that_waits_for_an_evaluation_holds_up_no_timers(home, clock):
    await home.create(timer("t", 60, "s"), starlark("s", "yes", "no"), waiting("yes"), waiting("no"), identity="slow")
    await home.create(timer("t", 61), identity="quick")
    slow, quick = (await home.start("slow", input={"n": 1})).id, (await home.start("quick")).id
    home.evaluators.may_answer.clear()
    clock.advance(60)
    look(home)
    await eventually(lambda: home.evaluators.asked)
    clock.advance(1)
    look(home)
    await reaches(home, quick, "COMPLETED")
    home.evaluators.may_answer.set()
    await reaches(home, slow, "WAITING_SIGNAL")


async def test_timers_that_no_longer_count_do_not_pile_up(home):
    await home.create(waiting("w", timeoutSeconds=3600), timeoutSeconds=7200)
    for _ in range(600):
        run = await home.start()
        await home.signal(run.id)
    timers = home.scheduler.timers
    assert timers._armed == {}
    assert sum(map(len, timers._heaps.values())) <= 2_200


async def test_a_timer_whose_turn_is_not_stored_fires_again(home, clock):
    await home.create(timer("t", 60))
    run = await home.start()
    submit = home.writer.submit

    def fail_once(unit):
        home.writer.submit = submit
        unit.add_guarded("DELETE FROM workflows WHERE workflow_id = 'nobody'", ())
        return submit(unit)

    home.writer.submit = fail_once
    clock.advance(60)
    look(home)
    await eventually(lambda: any(entry.due > clock.steady for entry in home.scheduler.timers._armed.values()))
    clock.advance(1)
    look(home)
    await reaches(home, run.id, "COMPLETED")


async def test_the_sweep_finds_what_memory_has_lost(home, clock):
    await home.create(timer("t", 60), identity="pause")
    await home.create(agent("a"), identity="work")
    pause, held, free = [(await home.start(name)).id for name in ("pause", "work", "work")]
    (claim,) = await home.claim(*home.open_steps(held))
    for lost in (home.scheduler.timers._armed, home.scheduler.attempts.leases, home.scheduler.attempts.dispatches):
        lost.clear()
    clock.advance(60 + 11)
    await home.scheduler.sweep.once()
    look(home)
    await reaches(home, pause, "COMPLETED")
    assert {key[0] for key in home.scheduler.attempts.leases} == {held}
    assert {key[0] for key in home.scheduler.attempts.dispatches} == {free}
    assert claim.token is not None
