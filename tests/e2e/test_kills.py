"""SIGKILL of any process while runs are in flight costs nothing but time."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from tests.e2e.story import STEPS, Story
from tests.support.system import BROKER, SERVICES, System

RUNS = 8
ALL_EFFECTS = RUNS * (STEPS + 1)
THIRDS = (ALL_EFFECTS // 3, 2 * ALL_EFFECTS // 3)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with System(tmp_path_factory.mktemp("kills")) as system:
        told = Story(system)
        told.ready()
        yield told
        told.close()


def tell(story: Story, name: str, disaster: Callable[[System], None]) -> list[Future[str]]:
    """Runs in flight, and a disaster after each third of what they do."""
    ended = story.begin(name, RUNS)
    for done in THIRDS:
        story.wait_effects(name, done)
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
    ended = story.begin("all-wiped", RUNS)
    story.wait_effects("all-wiped", ALL_EFFECTS // 2)
    story.system.kill_all()
    story.system.nats.wipe()
    story.system.start_all()
    story.check("all-wiped", ended, runner_died=True)
