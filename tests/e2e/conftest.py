"""Systems for the end-to-end tests: one that most share, others on demand; all databases are examined at the end."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from station.scheduler.doctor import check
from tests.e2e.agents import write_agents
from tests.support.system import BROKER, SERVICES, System

EXAMPLES = Path(__file__).parents[2] / "deploy" / "environments" / "default"


@pytest.fixture(scope="session", autouse=True)
def _what_is_left_is_sound() -> Iterator[None]:
    """The fold of the events equals the stored rows of every run that the tests made, by the doctor's own code.

    And no service has met an exception that it did not expect.
    """
    yield
    findings = [crash for made in System.made for crash in made.crashes()]
    for database in [made.sqlite for made in System.made if made.sqlite.exists()]:
        report = check(database, limit=1_000_000)
        findings += [f"{database}: {f.check}: {f.subject}: {f.detail}" for f in report.findings]
    assert not findings, "\n".join(findings)


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The system that most tests share: the example environment `default`, and `test`, to which tests add."""
    directory = tmp_path_factory.mktemp("system")
    shutil.copytree(EXAMPLES, directory / "environments" / "default")
    shared = System(directory)
    write_agents(shared)
    with shared:
        shared.wait_agent("ok")
        yield shared


@pytest.fixture
def make_system(tmp_path: Path) -> Iterator[Callable[..., System]]:
    """Make systems of a test's own; they are ended after it."""
    made: list[System] = []

    def make(name: str = "own", **settings: str) -> System:
        directory = tmp_path / name
        directory.mkdir()
        made.append(System(directory, settings=settings).__enter__())
        return made[-1]

    yield make
    for each in reversed(made):
        each.__exit__()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the end of every log beside a failure."""
    report: pytest.TestReport = yield  # pyright: ignore[reportAssignmentType]
    if report.failed:
        for running in System.running:
            for name in (BROKER, *SERVICES):
                lines = running.log_of(name).splitlines()[-15:]
                report.sections.append((f"log of {name} in {running.data_dir.parent}", "\n".join(lines)))
    return report  # pyright: ignore[reportReturnType]
