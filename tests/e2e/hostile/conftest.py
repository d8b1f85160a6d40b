"""One system for everything that is thrown at Station; it must be the same processes at the end of each test."""

from collections.abc import Iterator

import pytest

from tests.e2e.hostile.agents import write_agents
from tests.support.system import System

REQUEST_SECONDS = 3


@pytest.fixture(scope="session")
def battered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system whose gateway gives up soon, and whose agents misbehave."""
    settings = {"STATION_REQUEST_SECONDS": str(REQUEST_SECONDS), "STATION_MAX_OUTPUT_BYTES": "100000"}
    made = System(tmp_path_factory.mktemp("battered"), settings=settings)
    write_agents(made)
    with made:
        made.wait_agent("ok")
        yield made


@pytest.fixture
def unshaken(battered: System) -> Iterator[System]:
    """The system, of which no process may have ended in the test, and all must be ready after it."""
    before = battered.pids
    yield battered
    battered.wait_ready()
    assert battered.pids == before
