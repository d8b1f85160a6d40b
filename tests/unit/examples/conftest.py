"""The example environment for each test."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.example_agents import ENVIRONMENT, Examples


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    return Examples(tmp_path)


@pytest.fixture
def program() -> Callable[[str], str]:
    """Give the path of one of the programs."""
    return lambda name: str(ENVIRONMENT / "programs" / name)
