"""The wall clock of all services is set by hours, while everything waits that can wait for time."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from station.runtime.clock import from_rfc3339, now_ms, to_rfc3339
from station.scheduler.doctor import check
from tests.e2e.agents import Pipe, write_agents
from tests.e2e.workflows import agent, ask, operation, store, wait_signal, wait_timer
from tests.support.driver import ok
from tests.support.system import System

HOUR = 3600
LEASE_SECONDS = 2
PAUSE_SECONDS = 3
STEPS = (6 * HOUR, -6 * HOUR)


class WallClock:
    """What the services take for the time of day, set off from the real one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    @property
    def settings(self) -> dict[str, str]:
        """What a process needs in its environment."""
        folder = Path(__file__).parents[1] / "support" / "stepped_clock"
        return {"PYTHONPATH": str(folder), "TEST_WALL_CLOCK": str(self._file)}

    def set(self, seconds: int) -> None:
        """From now on it is so many seconds ahead of the real one."""
        draft = self._file.with_suffix(".tmp")
        draft.write_text(str(seconds))
        draft.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path / "offset")


@pytest.fixture
def stepped(tmp_path: Path, clock: WallClock) -> Iterator[System]:
    made = System(tmp_path, settings={"STATION_LEASE_SECONDS": str(LEASE_SECONDS), **clock.settings})
    write_agents(made)
    with made:
        made.wait_agent("gate")
        retry = {"maxAttempts": 2, "backoffSeconds": PAUSE_SECONDS, "jitter": 0}
        store(made, "pause", wait_timer("wait", PAUSE_SECONDS))
        store(made, "moment", operation("wait", "timer.wait", {"until": to_rfc3339(now_ms() + 3 * HOUR * 1000)}))
        store(made, "question", ask("ask", timeoutSeconds=3 * HOUR))
        store(made, "deadline", wait_signal("listen", "go"), timeoutSeconds=3 * HOUR)
        store(made, "backoff", agent("try", "flaky", task="a", retry=retry))
        yield made


def start_gated(system: System, pipe: Pipe) -> str:
    """Start a run whose agent works until something is sent into the pipe, and have it begin."""
    store(system, "gated", agent("work", "gate", variables={"pipe": str(pipe)}))
    run_id = system.start_run("gated")
    system.wait_event(run_id, "step_started")
    return run_id


def sound(system: System) -> None:
    """No run has an event before the one before it, and the doctor finds nothing."""
    for run in system.all_pages("/workflow-runs"):
        stamps = [from_rfc3339(event["at"]) for event in system.events(run["id"])]
        assert stamps == sorted(stamps), run["id"]
    assert not check(system.sqlite, 1000).findings


@pytest.mark.parametrize("step", STEPS, ids=["forward", "back"])
def test_lengths_of_time_pass_and_moments_come_by_the_clock(
    stepped: System, clock: WallClock, tmp_path: Path, step: int
) -> None:
    pipe = Pipe(tmp_path)
    gated = start_gated(stepped, pipe)
    runs = {name: stepped.start_run(name) for name in ("moment", "question", "deadline", "backoff")}
    asked = stepped.wait_approval(runs["question"])
    stepped.wait_event(runs["backoff"], "step_retry_scheduled")
    waited = time.monotonic()
    pause = stepped.start_run("pause")
    stepped.wait_event(pause, "step_started")

    clock.set(step)
    stepped.finish(pause)
    assert time.monotonic() - waited >= PAUSE_SECONDS, "it was cut short"
    stepped.finish(runs["backoff"])
    assert [attempt["attempt"] for attempt in stepped.steps(runs["backoff"])] == [1, 2]
    # The agent has worked for longer than its lease by now, under a runner that lives.
    pipe.send({"done": True})
    assert stepped.finish(gated)["output"] == {"done": True}
    assert not stepped.events(gated, "step_redispatched")
    assert (
        abs(from_rfc3339(stepped.run(stepped.start_run("pause"))["createdAt"]) - now_ms() - step * 1000) < HOUR * 1000
    )

    if step < 0:
        ok(stepped.approve(runs["question"], asked["id"]))
        stepped.finish(runs["question"])
        assert stepped.run(runs["moment"])["status"] == "RUNNING"
        assert stepped.run(runs["deadline"])["status"] == "WAITING_SIGNAL"
        clock.set(-step)
    else:
        assert stepped.finish(runs["question"], "FAILED")["error"]["type"] == "timeout"
    stepped.finish(runs["moment"])
    stepped.finish(runs["deadline"], "TIMED_OUT")
    sound(stepped)


@pytest.mark.parametrize("step", STEPS, ids=["forward", "back"])
def test_the_lease_of_a_dead_runner_takes_its_time_and_no_longer(
    stepped: System, clock: WallClock, tmp_path: Path, step: int
) -> None:
    pipe = Pipe(tmp_path)
    run_id = start_gated(stepped, pipe)
    stepped.kill("agent-runner")
    killed = time.monotonic()
    clock.set(step)
    again = stepped.wait_event(run_id, "step_redispatched")
    # The last heartbeat was a third of the lease before at most.
    assert time.monotonic() - killed > LEASE_SECONDS / 2
    assert "ran out" in again["data"]["reason"]
    stepped.start("agent-runner")
    pipe.send({"done": True})
    stepped.finish(run_id)
    assert [attempt["attempt"] for attempt in stepped.steps(run_id)] == [1]
    sound(stepped)


def test_over_a_restart_a_clock_that_was_set_back_makes_no_wait_longer(stepped: System, clock: WallClock) -> None:
    runs = [stepped.start_run(name) for name in ("pause", "backoff")]
    stepped.wait_event(runs[0], "step_started")
    stepped.wait_event(runs[1], "step_retry_scheduled")
    stepped.kill("scheduler")
    clock.set(-6 * HOUR)
    stepped.start("scheduler")
    for run_id in runs:
        stepped.finish(run_id)
    sound(stepped)


def test_over_a_restart_a_clock_that_was_set_forward_ends_every_wait(stepped: System, clock: WallClock) -> None:
    store(stepped, "long", wait_timer("wait", 3 * HOUR))
    run_id = stepped.start_run("long")
    stepped.wait_event(run_id, "step_started")
    stepped.kill("scheduler")
    clock.set(6 * HOUR)
    stepped.start("scheduler")
    stepped.finish(run_id)
    sound(stepped)
