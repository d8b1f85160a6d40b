"""What is left when something dies: the spool, processes of agents, claims."""

import signal
from pathlib import Path

import psutil

from station.contracts.agents import AnnounceRunner
from station.contracts.errors import ErrorType
from station.contracts.work import ClaimSteps, ReleaseSteps, ReportResults
from station.runtime.rpc import refuse
from tests.support.nats import NatsServer
from tests.support.runner_process import RunnerProcess
from tests.support.step_scheduler import StepScheduler, step_id
from tests.support.waiting import eventually


async def appears(path: Path) -> str:
    return str(await eventually(lambda: path.exists() and path.read_text()))


async def spooled(runner: RunnerProcess) -> Path:
    """Wait for a result on disk."""
    return (await eventually(lambda: list(runner.spool.glob("*.result"))))[0]


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def gone(pids: list[int]) -> None:
    await eventually(lambda: not any(alive(pid) for pid in pids))


async def test_a_report_is_made_again_until_the_scheduler_is_back(
    runner: RunnerProcess, scheduler: StepScheduler
) -> None:
    await runner.start()
    await scheduler.publish("a1", "effect", variables={"seconds": 0.5})
    await scheduler.until(lambda: scheduler.claimed("a1"))
    await scheduler.stop()
    file = await spooled(runner)
    assert file.name == f"{step_id('a1')}.1.{scheduler.token('a1')}.result"
    await runner.logged("scheduler_away")
    await scheduler.start()
    await scheduler.result("a1")
    await runner.logged("scheduler_back")
    assert len(runner.records("scheduler_away")) == 1
    await eventually(lambda: not file.exists())


async def test_a_spooled_result_survives_sigkill_and_is_reported_before_anything_else(
    runner: RunnerProcess, scheduler: StepScheduler
) -> None:
    await runner.start()
    await scheduler.publish("b1", "effect", task="once", variables={"seconds": 0.5})
    await scheduler.until(lambda: scheduler.claimed("b1"))
    await scheduler.stop()
    await spooled(runner)
    await runner.kill()
    scheduler.seen.clear()
    await scheduler.start()
    await runner.start()
    result = await scheduler.result("b1")
    assert (result.output, result.token) == ({"did": "once"}, scheduler.token("b1"))
    announced = (await scheduler.until(lambda: scheduler.of(AnnounceRunner)))[0]
    assert [type(message) for message in scheduler.seen[:2]] == [ReportResults, AnnounceRunner]
    assert announced.boot == 2
    assert len((runner.environments / "test" / "effects").read_text().splitlines()) == 1
    assert not list(runner.spool.glob("*.result"))


async def test_cancelling_the_run_kills_the_agents_processes(runner: RunnerProcess, scheduler: StepScheduler) -> None:
    await runner.start()
    await scheduler.publish("c1", "family")
    pids = [int(pid) for pid in (await appears(runner.environments / "test" / "effects")).split()]
    assert all(psutil.pid_exists(pid) for pid in pids)
    await scheduler.cancel()
    result = await scheduler.result("c1")
    assert result.cancelled
    assert result.error is not None
    assert result.error.type is ErrorType.CANCELLED
    await gone(pids)


async def test_cancelling_names_attempts(runner: RunnerProcess, scheduler: StepScheduler) -> None:
    await runner.start()
    await scheduler.publish("d1", "slow")
    await scheduler.publish("d2", "slow")
    await scheduler.until(lambda: scheduler.claimed("d1") and scheduler.claimed("d2"))
    await scheduler.publish("d3", "answers")
    await scheduler.result("d3")  # by now both execute
    await scheduler.cancel((scheduler.held("d2"),))
    assert (await scheduler.result("d2")).cancelled
    assert not scheduler.results("d1")


async def test_agents_of_a_killed_runner_do_not_outlive_its_next_start(
    runner: RunnerProcess, scheduler: StepScheduler
) -> None:
    await runner.start()
    await scheduler.publish("e1", "family")
    pids = [int(pid) for pid in (await appears(runner.environments / "test" / "effects")).split()]
    await runner.kill()
    scheduler.seen.clear()
    await runner.start()
    await scheduler.until(lambda: scheduler.of(AnnounceRunner))
    await gone(pids)


async def test_a_stop_finishes_short_work_and_gives_back_the_rest(
    runner: RunnerProcess, scheduler: StepScheduler
) -> None:
    runner._settings["STATION_SHUTDOWN_SECONDS"] = "2"
    await runner.start()
    await scheduler.publish("f1", "family")
    pids = [int(pid) for pid in (await appears(runner.environments / "test" / "effects")).split()]
    await scheduler.publish("f2", "effect", variables={"seconds": 1})
    await scheduler.until(lambda: scheduler.claimed("f2"))
    assert await runner.stop() == 0
    assert [report.step_id for report in scheduler.results("f2")] == [step_id("f2")]
    assert not scheduler.results("f1")
    assert [release.steps for release in scheduler.of(ReleaseSteps)] == [(scheduler.held("f1"),)]
    await gone(pids)


async def test_an_idle_runner_stops_with_the_scheduler_or_the_broker_away(
    runner: RunnerProcess, scheduler: StepScheduler, nats_server: NatsServer
) -> None:
    await runner.start()
    await scheduler.until(lambda: scheduler.of(AnnounceRunner))
    await scheduler.stop()
    assert await runner.stop() == 0
    await runner.start()
    await runner.logged("scheduler_away")
    assert await runner.stop() == 0
    await scheduler.start()
    nats_server.kill()
    await runner.start()
    await runner.logged("spool_opened", 3)
    assert await runner.stop() == 0
    nats_server.start()


async def test_a_runner_starts_before_the_scheduler_and_the_broker(
    runner: RunnerProcess, scheduler: StepScheduler, nats_server: NatsServer
) -> None:
    await scheduler.stop()
    nats_server.kill()
    await runner.start()
    await runner.logged("spool_opened")
    nats_server.start()
    await runner.logged("scheduler_away")
    await eventually(lambda: scheduler.bus.connected)
    await scheduler.start()
    await scheduler.publish("0a", "answers")
    await scheduler.result("0a")


async def test_a_result_that_is_refused_does_not_hold_up_the_others(
    runner: RunnerProcess, scheduler: StepScheduler
) -> None:
    scheduler.refusals = [refuse(400, "report_invalid", "no such thing")]
    await runner.start()
    await scheduler.publish("0b", "effect")
    await scheduler.until(lambda: scheduler.results("0b"))
    assert (await runner.logged("result_refused"))[0]["code"] == "report_invalid"
    assert [file.name for file in runner.spool.glob("*.refused")] == [
        f"{step_id('0b')}.1.{scheduler.token('0b')}.refused"
    ]
    await scheduler.publish("0c", "answers")
    await scheduler.result("0c")


async def test_a_second_runner_on_the_same_spool_says_so_and_exits(
    runner: RunnerProcess, scheduler: StepScheduler, tmp_path: Path, nats_server: NatsServer
) -> None:
    await runner.start()
    await scheduler.until(lambda: scheduler.of(AnnounceRunner))
    second = RunnerProcess(tmp_path, nats_server.url)
    await second.start()
    assert await second.wait() == 1
    assert "another agent-runner is using" in second.records("stopped_by_error")[0]["detail"]


async def test_a_frozen_runner_wakes_up_and_its_claims_are_still_its_own(
    runner: RunnerProcess, scheduler: StepScheduler
) -> None:
    await runner.start()
    await scheduler.publish("0d", "effect", variables={"seconds": 0.3})
    await scheduler.until(lambda: scheduler.claimed("0d"))
    effects = runner.environments / "test" / "effects"
    line = await eventually(lambda: effects.read_text() if effects.exists() else "")
    program = psutil.Process(int(line.split()[0]))
    runner.signal(signal.SIGSTOP)
    await eventually(lambda: program.status() == psutil.STATUS_ZOMBIE)  # it ended, and nobody has looked
    runner.signal(signal.SIGCONT)
    assert (await scheduler.result("0d")).error is None
    assert sum(len(claim.steps) for claim in scheduler.of(ClaimSteps)) == 1
