"""From the task on the stream to the acknowledged message, with a real process on a real broker."""

import asyncio

import pytest

from station.contracts import subjects
from station.contracts.agents import AnnounceRunner
from station.contracts.errors import ErrorType
from station.contracts.work import Claim, ClaimSteps, Heartbeat, KeepLetter, ReportResults
from station.runtime.bus import Bus
from tests.support.agent_files import write_agent
from tests.support.nats import NatsServer
from tests.support.runner_process import RunnerProcess
from tests.support.step_scheduler import RUN, StepScheduler, step_id, task_of
from tests.support.waiting import eventually


async def drained(scheduler: StepScheduler) -> None:
    """Return when every task has been acknowledged."""
    async with asyncio.timeout(20):
        while await scheduler.pending():  # noqa: ASYNC110 - the broker's state
            await asyncio.sleep(0.02)


async def test_a_task_is_claimed_executed_reported_and_acknowledged(
    runner: RunnerProcess, scheduler: StepScheduler
) -> None:
    await runner.start()
    await scheduler.publish("a1", "effect", task="look", variables={"n": 1})
    result = await scheduler.result("a1")
    assert (result.output, result.error, result.cancelled) == ({"did": "look"}, None, False)
    assert result.token == scheduler.token("a1")
    assert result.duration_ms > 0
    await drained(scheduler)
    assert not list(runner.spool.glob("*.result"))
    kinds = [type(message) for message in scheduler.seen]
    assert kinds.index(AnnounceRunner) < kinds.index(ClaimSteps) < kinds.index(ReportResults)
    record = (await runner.logged("step_executed"))[0]
    assert {name: record[name] for name in ("run_id", "step_id", "attempt", "executor", "status")} == {
        "run_id": RUN,
        "step_id": step_id("a1"),
        "attempt": 1,
        "executor": "agent.run",
        "status": "SUCCEEDED",
    }
    assert record["duration_ms"] == result.duration_ms


async def test_a_batch_is_claimed_and_reported_in_few_requests(runner: RunnerProcess, scheduler: StepScheduler) -> None:
    for number in range(200):
        await scheduler.publish(f"{number:04d}", "answers")
    await runner.start()
    reported = lambda: sum(len(report.results) for report in scheduler.of(ReportResults))  # noqa: E731
    await scheduler.until(lambda: reported() == 200)
    assert len(scheduler.of(ClaimSteps)) <= 20
    assert len(scheduler.of(ReportResults)) <= 50
    await drained(scheduler)


async def test_busy_is_asked_again_and_skip_is_acknowledged_unexecuted(
    runner: RunnerProcess, scheduler: StepScheduler
) -> None:
    scheduler.claims[step_id("b1")] = [Claim(verdict="busy", reason="somebody else")]
    scheduler.claims[step_id("b2")] = [Claim(verdict="skip", output={"stored": 1})]
    await runner.start()
    await scheduler.publish("b1", "answers")
    await scheduler.publish("b2", "answers")
    await scheduler.result("b1")
    assert scheduler.claimed("b1") == 2
    await drained(scheduler)
    assert not scheduler.results("b2")


async def test_a_redelivered_task_that_is_being_executed_is_not_claimed_again(
    runner: RunnerProcess, scheduler: StepScheduler, bus: Bus
) -> None:
    await bus.js.delete_consumer(subjects.TASKS_STREAM, subjects.RUNNER_CONSUMER)
    config = {"durable_name": subjects.RUNNER_CONSUMER, "filter_subject": subjects.RUNNER_FILTER, "ack_wait": 0.3}
    await bus.js.add_consumer(subjects.TASKS_STREAM, ack_policy="explicit", **config)
    await runner.start()
    await scheduler.publish("c1", "effect", variables={"seconds": 1.5})
    await scheduler.result("c1")
    info = await bus.js.consumer_info(subjects.TASKS_STREAM, subjects.RUNNER_CONSUMER)
    assert info.delivered is not None
    assert info.delivered.consumer_seq > 1
    assert scheduler.claimed("c1") == 1
    await drained(scheduler)
    assert len(scheduler.results("c1")) == 1


async def test_what_is_no_task_is_taken_out_of_the_stream(
    runner: RunnerProcess, scheduler: StepScheduler, bus: Bus
) -> None:
    await runner.start()
    await bus.js.publish(subjects.task_step(RUN, step_id("d1"), 1), b"\xff\xff")
    assert (await runner.logged("message_set_aside"))[0]["subject"] == subjects.task_step(RUN, step_id("d1"), 1)
    (letter,) = scheduler.of(KeepLetter)
    assert (letter.subject, letter.body, letter.size) == (subjects.task_step(RUN, step_id("d1"), 1), b"\xff\xff", 2)
    await drained(scheduler)


async def test_a_timeout_ends_the_attempt_as_such(runner: RunnerProcess, scheduler: StepScheduler) -> None:
    await runner.start()
    await scheduler.publish("e1", "slow", timeout_seconds=0.2)
    result = await scheduler.result("e1")
    assert result.error is not None
    assert (result.error.type, result.cancelled) == (ErrorType.TIMEOUT, False)
    assert (await runner.logged("step_executed"))[0]["status"] == "TIMED_OUT"


async def test_an_attempt_beats_while_it_runs_and_stops_when_it_is_lost(
    runner: RunnerProcess, scheduler: StepScheduler
) -> None:
    scheduler.lease = 0.3
    await runner.start()
    await scheduler.publish("f1", "slow")
    await scheduler.until(lambda: len(scheduler.of(Heartbeat)) >= 3)
    assert scheduler.of(Heartbeat)[0].steps == (scheduler.held("f1"),)
    scheduler.lost.add(step_id("f1"))
    result = await scheduler.result("f1")
    assert result.cancelled
    assert result.error is not None
    assert result.error.type is ErrorType.CANCELLED
    await drained(scheduler)


@pytest.mark.parametrize("outage", ["restart", "wipe"])
async def test_the_broker_goes_and_comes_and_work_goes_on(
    runner: RunnerProcess, scheduler: StepScheduler, nats_server: NatsServer, outage: str
) -> None:
    await runner.start()
    await scheduler.publish("0a", "answers")
    await scheduler.result("0a")
    back = asyncio.Event()
    scheduler.bus.on_reconnect(back.set)
    getattr(nats_server, outage)()
    await back.wait()
    await scheduler.start()  # streams and consumer are the scheduler's to make
    await scheduler.publish("0b", "answers")
    await scheduler.result("0b")
    await drained(scheduler)


async def test_a_changed_file_is_announced_and_used(runner: RunnerProcess, scheduler: StepScheduler) -> None:
    await runner.start()
    first = (await scheduler.until(lambda: scheduler.of(AnnounceRunner)))[0]
    assert [agent.name for agent in first.agents] == ["answers", "effect", "family", "slow"]
    assert first.environments == ("test",)
    assert first.problems == ()
    write_agent(runner.environments, "late", "---\nmodel: scripted\nscripted: [{answer: hi}]\n---\n")
    write_agent(runner.environments, "broken", "---\nmodel: scripted\n---\n")

    def news() -> bool:
        last = scheduler.of(AnnounceRunner)[-1]
        return "late" in [agent.name for agent in last.agents] and bool(last.problems)

    await scheduler.until(news)
    assert scheduler.of(AnnounceRunner)[-1].problems[0].path == "test/agents/broken.prompt"
    await scheduler.publish("0c", "late")
    assert (await scheduler.result("0c")).output == "hi"


async def test_an_attempt_handed_out_anew_is_done_anew_and_its_message_is_not_acknowledged_by_the_old_one(
    runner: RunnerProcess, scheduler: StepScheduler, bus: Bus
) -> None:
    scheduler.lease = 0.6
    await runner.start()
    await scheduler.publish("1a", "slow")
    await scheduler.until(lambda: scheduler.claimed("1a"))
    old = scheduler.token("1a")
    await bus.js.purge_stream(subjects.TASKS_STREAM, subject=subjects.task_step(RUN, step_id("1a"), 1))
    await scheduler.publish("1a", "answers")
    scheduler.revoke("1a")
    await scheduler.until(lambda: len(scheduler.results("1a")) > 1)
    first, second = scheduler.results("1a")
    assert (first.token, first.cancelled) == (old, True)
    assert (second.token, second.output) == (scheduler.token("1a"), {"ok": True})
    assert second.token != old
    await drained(scheduler)


async def test_what_is_assigned_with_the_answer_to_a_report_is_executed_without_a_claim(
    runner: RunnerProcess, scheduler: StepScheduler
) -> None:
    for number in range(3):
        scheduler.follow_ups[step_id(f"a{number}")] = task_of(f"a{number + 1}", "effect", task=f"t{number + 1}")
    await runner.start()
    await scheduler.publish("a0", "effect", task="t0")
    results = [await scheduler.result(f"a{number}") for number in range(4)]
    assert [result.output for result in results] == [{"did": f"t{number}"} for number in range(4)]
    assert [result.token for result in results] == [scheduler.token(f"a{number}") for number in range(4)]
    assert [scheduler.claimed(f"a{number}") for number in range(4)] == [1, 0, 0, 0]
    await drained(scheduler)
    await eventually(lambda: not list(runner.spool.glob("*.result")))


async def test_an_attempt_that_is_assigned_while_its_claim_is_under_way_is_executed_once(
    runner: RunnerProcess, scheduler: StepScheduler
) -> None:
    await runner.start()
    answering = scheduler.answering[step_id("b1")] = asyncio.Event()
    given = await scheduler.publish("b1", "effect", task="t", variables={"seconds": 1})
    await scheduler.until(lambda: scheduler.claimed("b1"))
    scheduler.follow_ups[step_id("a1")] = given
    await scheduler.publish("a1", "effect", task="first")
    await scheduler.result("a1")
    effects = runner.environments / "test" / "effects"
    await eventually(lambda: effects.read_text().count("b1"))
    answering.set()
    assert (await scheduler.result("b1")).output == {"did": "t"}
    await scheduler.publish("c1", "effect", task="last")
    await scheduler.result("c1")
    assert effects.read_text().count("b1") == 1
    assert len(scheduler.results("b1")) == 1
    await drained(scheduler)
