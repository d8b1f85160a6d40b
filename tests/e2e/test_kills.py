"""SIGKILL of any process while runs are in flight costs nothing but time."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from tests.e2e.story import STEPS, Story
from tests.support.system import BROKER, SERVICES, System

RUNS = 8
ALL_EFFECTS = RUNS * (STEPS + 1)
QUARTERS = (ALL_EFFECTS // 4, ALL_EFFECTS // 2, 3 * ALL_EFFECTS // 4)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with System(tmp_path_factory.mktemp("kills")) as system:
        told = Story(system)
        told.ready()
        yield told
        told.close()


def tell(story: Story, name: str, disaster: Callable[[System], None]) -> list[Future[str]]:
    """Runs in flight, and a disaster at every quarter of what they do."""
    ended = story.begin(name, RUNS)
    for quarter in QUARTERS:
        story.wait_effects(name, quarter)
        disaster(story.system)
    return ended


@pytest.mark.parametrize("victim", [BROKER, *SERVICES])
def test_a_process_is_killed_and_started_again(story: Story, victim: str) -> None:
    ended = tell(story, victim, lambda system: system.restart(victim))
    story.check(victim, ended, runner_died=victim == "agent-runner")


def test_everything_is_killed_at_once(story: Story) -> None:
    def disaster(system: System) -> None:
        system.kill_all()
        system.start_all()

    ended = tell(story, "everything", disaster)
    story.check("everything", ended, runner_died=True)


def test_the_broker_is_killed_and_all_that_it_stored_is_deleted(story: Story) -> None:
    ended = tell(story, "wiped", lambda system: system.nats.wipe())
    story.check("wiped", ended, runner_died=False)


def test_everything_is_killed_and_all_that_the_broker_stored_is_deleted(story: Story) -> None:
    def disaster(system: System) -> None:
        system.kill_all()
        system.nats.wipe()
        system.start_all()

    ended = tell(story, "all-wiped", disaster)
    story.check("all-wiped", ended, runner_died=True)
