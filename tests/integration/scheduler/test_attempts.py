"""Attempts and their runners: leases, tokens, boots, and tasks that nobody claims."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest

from station.contracts import subjects
from station.contracts.agents import AnnounceRunner
from station.contracts.errors import ErrorType, StepError
from station.contracts.work import Heartbeat, ReleaseSteps, StepRef
from station.runtime.errors import Refused
from station.scheduler.engine import reconcile
from tests.support.nats import NatsServer
from tests.support.scheduler_house import BOOT, CONTEXT, RUNNER, Clock, House, agent, approval, held, house
from tests.support.waiting import eventually


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def home(tmp_path: Path, url: str, clock: Clock) -> AsyncGenerator[House]:
    async with house(tmp_path, url, clock=clock, background=False) as opened:
        await opened.scheduler.reconcile.once()
        await opened.announce()
        await opened.create(agent("a"))
        yield opened


async def beat(home: House, *steps, boot: int = BOOT):
    answer = await home.by.steps.heartbeat(Heartbeat(runner=RUNNER, boot=boot, steps=steps), CONTEXT)
    return list(answer.lost)


async def pass_by(home: House) -> None:
    """One pass of reconcile."""
    await home.scheduler.reconcile.once()


async def claimed(home: House, **start):
    run = await home.start(**start)
    (step,) = home.open_steps(run.id)
    (claim,) = await home.claim(step)
    assert claim.verdict == "run"
    return step, claim


async def test_a_claim_is_given_once_and_reported_once(home):
    step, claim = await claimed(home)
    other, again = await home.claim(step, step, runner="runner-2")
    assert (other.verdict, again.verdict) == ("busy", "busy")
    assert await home.report(step, claim.token, {"x": 1}) == "accepted"
    assert await home.report(step, claim.token, {"x": 1}) == "accepted", "the first answer may have been lost"
    (over,) = await home.claim(step)
    assert (over.verdict, over.output) == ("skip", {"x": 1})
    assert home.events(step.run_id).count("step_succeeded") == 1


async def test_what_is_large_is_left_out_of_the_answer_to_a_late_claim(home):
    step, claim = await claimed(home)
    await home.report(step, claim.token, "x" * 600_000)
    (over,) = await home.claim(step)
    assert (over.verdict, over.output) == ("skip", None)


async def test_a_lease_that_runs_out_gives_the_attempt_to_another_and_fences_the_first(home, clock):
    step, first = await claimed(home)
    clock.advance(14)
    await pass_by(home)
    assert home.open_steps(step.run_id) == []
    clock.advance(1)
    await pass_by(home)
    assert home.open_steps(step.run_id) == [step]
    (second,) = await home.claim(step, runner="runner-2")
    assert second.token is not None
    assert first.token is not None
    assert second.token > first.token
    assert await home.report(step, first.token, "late") == "fenced"
    assert await home.report(step, second.token, "good", runner="runner-2") == "accepted"
    assert home.rows("SELECT output FROM workflow_run_steps WHERE attempt = 1") == [('"good"',)]
    assert "late_result_ignored" in home.events(step.run_id)


async def test_heartbeats_keep_a_lease_and_tell_what_is_lost(home, clock):
    step, claim = await claimed(home)
    for _ in range(5):
        clock.advance(14)
        assert await beat(home, held(step, claim.token)) == []
        await pass_by(home)
    assert home.open_steps(step.run_id) == []
    await home.control("cancel", step.run_id)
    assert await beat(home, held(step, claim.token)) == [held(step, claim.token)]


async def test_a_clock_that_is_set_takes_no_lease_away(home, clock):
    step, claim = await claimed(home)
    clock.set_by(86_400)
    await pass_by(home)
    assert await beat(home, held(step, claim.token)) == []
    clock.set_by(-2 * 86_400)
    clock.advance(15)
    await pass_by(home)
    assert home.open_steps(step.run_id) == [step]


async def test_a_restart_takes_nobodys_work_away(tmp_path, url, clock):
    async with house(tmp_path, url, clock=clock, background=False) as first:
        await first.announce()
        await first.create(agent("a"))
        step, claim = await claimed(first)
        paused, other = await claimed(first)
        await first.control("pause", paused.run_id)
    clock.advance(3600)
    async with house(tmp_path, url, clock=clock) as second:
        assert await beat(second, held(step, claim.token), held(paused, other.token)) == []
        assert await second.report(step, claim.token, 1) == "accepted"
        assert await second.report(paused, other.token, 1) == "accepted"
        await second.control("resume", paused.run_id)
        assert [second.status(run_id) for run_id in (step.run_id, paused.run_id)] == ["COMPLETED"] * 2


async def test_a_runner_that_dies_while_its_run_is_paused_over_a_restart_is_noticed(tmp_path, url, clock):
    async with house(tmp_path, url, clock=clock, background=False) as first:
        await first.announce()
        await first.create(agent("a"))
        step, _ = await claimed(first)
        await first.control("pause", step.run_id)
    async with house(tmp_path, url, clock=clock, background=False) as second:
        await second.scheduler.reconcile.once()
        clock.advance(15)
        await pass_by(second)
        await second.control("resume", step.run_id)
        await second.work(step.run_id, 1)
        assert second.status(step.run_id) == "COMPLETED"


async def test_a_new_boot_voids_what_the_old_one_held_at_once(home):
    step, claim = await claimed(home)
    other, kept = await claimed(home)
    assert await home.report(other, kept.token, 1) == "accepted"
    await home.announce(boot=2)
    assert home.open_steps(step.run_id) == [step]
    with pytest.raises(Refused, match="runner_outdated"):
        await home.claim(step, boot=1)
    with pytest.raises(Refused, match="runner_outdated"):
        await home.announce(boot=1)
    (again,) = await home.claim(step, boot=2)
    assert again.verdict == "run"
    assert await home.report(step, claim.token, 1) == "fenced"


async def test_a_new_boot_voids_a_claim_of_the_old_one_that_is_still_being_decided(home, monkeypatch):
    run = await home.start()
    (step,) = home.open_steps(run.id)
    runs, may_load = home.scheduler.engine.runs, asyncio.Event()
    load = runs._load

    async def load_late(run_id):
        await may_load.wait()
        return await load(run_id)

    monkeypatch.setattr(runs, "_load", load_late)
    runs.drop(runs.cached(run.id))
    claiming = asyncio.ensure_future(home.claim(step, boot=1))
    await eventually(lambda: run.id in runs._loading)
    await home.announce(boot=2)
    may_load.set()
    await claiming
    assert home.open_steps(run.id) == [step]


async def test_a_new_boot_frees_what_the_old_one_had_fetched_and_not_claimed(home):
    relaying = asyncio.ensure_future(home.scheduler.relay.run())
    run = await home.start()
    await home.drained()
    subscription = await home.bus.js.pull_subscribe_bind(subjects.RUNNER_CONSUMER, subjects.TASKS_STREAM)
    (message,) = await subscription.fetch(1, timeout=5)
    await home.announce(boot=2)
    again = await home.bus.js.pull_subscribe_bind(subjects.RUNNER_CONSUMER, subjects.TASKS_STREAM)
    (delivered,) = await again.fetch(1, timeout=5)
    assert delivered.subject == message.subject
    assert run.id in delivered.subject
    relaying.cancel()


async def test_boots_are_known_in_the_next_life(tmp_path, url):
    async with house(tmp_path, url, background=False) as first:
        await first.announce(boot=7)
    async with house(tmp_path, url, background=False) as second:
        with pytest.raises(Refused, match="this is boot 6 and must stop"):
            await second.announce(boot=6)
        await second.announce(boot=7)


async def test_what_a_runner_gives_back_is_free(home):
    step, claim = await claimed(home)
    await home.by.steps.release(ReleaseSteps(runner=RUNNER, boot=BOOT, steps=(held(step, claim.token),)), CONTEXT)
    assert home.open_steps(step.run_id) == [step]
    assert home.scheduler.attempts.leases == {}


async def test_leases_and_dispatches_of_what_is_over_are_forgotten(home):
    await home.create(agent("a", "b"), agent("b"), identity="two")
    step, _ = await claimed(home)
    run = await home.start("two")
    await home.work(run.id, 1)
    await home.control("cancel", step.run_id)
    await home.control("cancel", run.id)
    assert home.scheduler.attempts.leases == {}
    assert home.scheduler.attempts.dispatches == {}


async def test_a_lease_of_nobody_is_let_go(home, clock):
    step, claim = await claimed(home)
    attempts = home.scheduler.attempts
    ghost = attempts.leases[step.run_id, step.step_id]
    await home.report(step, claim.token, 1)
    attempts.leases[step.run_id, step.step_id] = ghost
    attempts.leases["run_none", "step"] = msgspec.structs.replace(ghost)
    clock.advance(15)
    await pass_by(home)
    assert attempts.leases == {}


async def test_unclaimed_tasks_are_sent_again_with_growing_pauses(home, clock, monkeypatch):
    sent: list[str] = []
    monkeypatch.setattr(home.scheduler.relay, "send", lambda outgoing: sent.append(outgoing.run_id))
    run = await home.start()
    moments: list[int] = []
    for second in range(1, 61):
        clock.advance(1)
        before = len(sent)
        await home.scheduler.reconcile._send_overdue()
        moments += [second] * (len(sent) - before)
    assert moments == [5, 10, 20, 40]
    assert sent[0] == run.id


async def test_after_a_wipe_everything_unclaimed_is_sent_at_once(home, nats_server: NatsServer, clock):
    relaying = asyncio.ensure_future(home.scheduler.relay.run())
    runs = [(await home.start()).id for _ in range(3)]
    step, claim = await claimed(home)
    await home.drained()
    before = reconcile.MENDED.labels("stream")._value.get()
    await asyncio.to_thread(nats_server.wipe)
    await eventually(lambda: home.bus.connected)
    await pass_by(home)
    assert reconcile.MENDED.labels("stream")._value.get() == before + 1
    await eventually(lambda: home.scheduler.relay.depth == 0)
    assert {task.run_id for task in await home.tasks()} == set(runs)
    assert await home.report(step, claim.token, 1) == "accepted", "a claim survives a wipe"
    relaying.cancel()


async def test_nobody_loses_a_lease_while_the_broker_is_away(home, nats_server: NatsServer, clock):
    step, claim = await claimed(home)
    await asyncio.to_thread(nats_server.kill)
    await eventually(lambda: not home.bus.connected)
    clock.advance(3600)
    home.bus.js._timeout = 0.2
    await pass_by(home)
    await asyncio.to_thread(nats_server.start)
    await eventually(lambda: home.bus.connected)
    await pass_by(home)
    assert await beat(home, held(step, claim.token)) == []
    assert home.open_steps(step.run_id) == []
    clock.advance(15)
    await pass_by(home)
    assert home.open_steps(step.run_id) == [step]


async def test_the_lag_of_every_consumer_is_shown(home):
    relaying = asyncio.ensure_future(home.scheduler.relay.run())
    await home.create(approval("ok"), identity="question")
    await home.start()
    await home.start()
    await home.start("question")
    await home.bus.js.publish(subjects.task_run("x"), b"{}")
    await home.bus.js.publish(subjects.task_resume("x", "1"), b"{}")
    await home.bus.js.publish(subjects.task_resume("x", "2"), b"{}")
    await home.drained()
    subscription = await home.bus.js.pull_subscribe_bind(subjects.RUNNER_CONSUMER, subjects.TASKS_STREAM)
    await subscription.fetch(1, timeout=5)
    await pass_by(home)
    durables = (subjects.RUNNER_CONSUMER, subjects.APPROVAL_CONSUMER, subjects.START_CONSUMER, subjects.RESUME_CONSUMER)
    assert [reconcile.LAG.labels(name)._value.get() for name in durables] == [1, 1, 1, 2]
    assert reconcile.UNACKED.labels(subjects.RUNNER_CONSUMER)._value.get() == 1
    relaying.cancel()


async def test_a_consumer_that_is_gone_is_made_anew(home):
    await home.bus.js.delete_consumer(subjects.TASKS_STREAM, subjects.RUNNER_CONSUMER)
    await pass_by(home)
    found = await home.bus.js.consumer_info(subjects.TASKS_STREAM, subjects.RUNNER_CONSUMER)
    assert found.config.filter_subject == subjects.RUNNER_FILTER


async def test_a_claim_that_is_not_stored_is_busy_and_the_others_are_given(home):
    runs = [await home.start() for _ in range(3)]
    steps = [home.open_steps(run.id)[0] for run in runs]
    submit, count = home.writer.submit, 0

    def fail_second(unit):
        nonlocal count
        count += 1
        if count == 2:
            unit.add_guarded("DELETE FROM workflows WHERE workflow_id = 'nobody'", ())
        return submit(unit)

    home.writer.submit = fail_second
    claims = await home.claim(*steps, StepRef(run_id="run_none", step_id="s", attempt=1))
    assert [claim.verdict for claim in claims] == ["run", "busy", "run", "skip"]
    assert [claim.verdict for claim in await home.claim(steps[1])] == ["run"]


async def test_an_error_is_an_outcome_too(home):
    step, claim = await claimed(home)
    error = StepError(type=ErrorType.AGENT_ERROR, message="exit 1")
    assert await home.report(step, claim.token, error=error) == "accepted"
    assert home.status(step.run_id) == "FAILED"


async def test_catalogs_are_kept_and_replaced_whole(tmp_path, url):
    async with house(tmp_path, url, background=False) as first:
        await first.announce("a", "b")
        await first.announce("b", "c")
        await first.by.steps.announce(
            AnnounceRunner(runner="runner-2", boot=1, environments=("empty",), agents=()), CONTEXT
        )
    async with house(tmp_path, url, background=False) as second:
        infos = second.scheduler.catalog.infos("default")
        assert infos is not None
        assert sorted(infos) == ["b", "c"]
        assert second.scheduler.catalog.infos("empty") == {}
        assert second.scheduler.catalog.infos("unknown") is None
