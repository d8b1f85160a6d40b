"""A process dies before and after each commit, publish, acknowledgement, spooling and report: nothing is lost.

Each fail point is hit once, in a run with everything in it; `docs/reliability.md` says what each one costs.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest

from station.contracts import subjects
from station.runtime import failpoints
from station.runtime.broker import inbox_prefix
from station.runtime.bus import Bus
from station.runtime.streams import Fetcher
from tests.e2e.crash_points import POINTS, By, Point
from tests.e2e.story import ITEMS, Story
from tests.support.system import System

RUNNER = "agent-runner"


@pytest.fixture(scope="module")
def armory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory whose files arm points."""
    return tmp_path_factory.mktemp("failpoints")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, armory: Path) -> Iterator[Story]:
    with System(tmp_path_factory.mktemp("crash-table"), settings={failpoints.VARIABLE: str(armory)}) as system:
        told = Story(system, seconds=0)
        told.ready()
        yield told
        told.close()


def points(by: By) -> Any:
    found = [(point, hit) for point in POINTS if point.by == by for hit in point.hits]
    return pytest.mark.parametrize(("point", "hit"), found, ids=[f"{point.name}-{hit}" for point, hit in found])


def prefix_of(point: Point) -> str:
    return point.name.replace(".", "-")


def arm(armory: Path, name: str, hit: int = 1) -> None:
    (armory / name).write_text(str(hit))


def wait_death(system: System, armory: Path, name: str, victim: str) -> None:
    assert system.wait_end(victim) == -signal.SIGKILL, f"{victim} was to die at {name}"
    assert not (armory / name).exists(), "it died there and nowhere else"


@points("run")
def test_a_process_dies_while_a_run_goes_on(story: Story, armory: Path, point: Point, hit: int) -> None:
    arm(armory, point.name, hit)
    prefix = f"{prefix_of(point)}-{hit}"
    ended = story.begin(prefix, 1)
    wait_death(story.system, armory, point.name, point.victim)
    story.system.start(point.victim)
    repeats = story.check(prefix, ended, runner_died=point.victim == RUNNER)
    assert repeats.total() == point.again


@points("message")
async def test_the_scheduler_dies_over_a_message_of_another_system(
    story: Story, armory: Path, point: Point, hit: int
) -> None:
    prefix = prefix_of(point)
    run_id = f"{prefix}-0"
    arm(armory, point.name, hit)
    ended = story.accompany(run_id)
    client = await nats.connect(story.system.nats_url())
    message = {"workflowId": "everything", "environment": "test", "input": {"items": ITEMS}}
    await client.jetstream().publish(subjects.task_run(run_id), msgspec.json.encode(message))
    await client.close()
    wait_death(story.system, armory, point.name, point.victim)
    story.system.start(point.victim)
    story.check(prefix, [ended], runner_died=False)


@points("new runner")
def test_the_scheduler_dies_while_it_takes_back_what_a_dead_runner_held(
    story: Story, armory: Path, point: Point, hit: int
) -> None:
    system, prefix = story.system, prefix_of(point)
    arm(armory, "agent-runner.after-claim")
    ended = story.begin(prefix, 1)
    wait_death(system, armory, "agent-runner.after-claim", RUNNER)
    arm(armory, point.name, hit)
    system.launch(RUNNER)
    wait_death(system, armory, point.name, point.victim)
    system.start(point.victim)
    system.wait_ready([RUNNER])
    repeats = story.check(prefix, ended, runner_died=True)
    assert not repeats
    reasons = [event["data"]["reason"] for event in story.client.events(f"{prefix}-0", "step_redispatched")]
    assert len(reasons) == 1
    assert "has started anew" in reasons[0], "not left to the end of the lease"


async def test_the_scheduler_dies_while_it_replaces_a_lost_task(story: Story, armory: Path) -> None:
    """Somebody has fetched the task and is gone: its subject is blocked, until the scheduler purges it."""
    system, prefix = story.system, "lost-task"
    frozen = system.pids[RUNNER]
    thief = await Bus.connect(system.nats_url("scheduler"), name="thief", inbox_prefix=inbox_prefix("scheduler"))
    os.kill(frozen, signal.SIGSTOP)
    try:
        while (await thief.js.consumer_info(subjects.TASKS_STREAM, subjects.RUNNER_CONSUMER)).num_waiting:
            """The runner's own fetches end within a second."""
        ended = story.begin(prefix, 1)
        (stolen,) = await Fetcher(thief, subjects.TASKS_STREAM, subjects.RUNNER_CONSUMER).fetch(1, 20)
        assert f".{prefix}-0." in stolen.subject
    finally:
        os.kill(frozen, signal.SIGCONT)
        await thief.close()
    for point in [point for point in POINTS if point.by == "lost task"]:
        arm(armory, point.name)
        wait_death(system, armory, point.name, point.victim)
        system.start(point.victim)
    story.check(prefix, ended, runner_died=False)
