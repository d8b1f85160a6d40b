"""Rules for every test: no setting leaks in from outside, and a test's folder is its marker."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDERS = ("unit", "contract", "integration", "simulation", "e2e")
TESTS = Path(__file__).parent


def pytest_configure() -> None:
    """Clear the settings of whoever starts the tests, before any fixture of any scope can read them."""
    for name in [name for name in os.environ if name.startswith("STATION_")]:
        del os.environ[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the name of its folder."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in FOLDERS:
            item.add_marker(folder)


@pytest.fixture(autouse=True)
def _settings_stay_inside_a_test() -> Iterator[None]:
    """Fail a test that leaves a STATION_ variable behind for the next one."""
    yield
    left = [name for name in os.environ if name.startswith("STATION_")]
    assert not left, f"the test left {left} in the environment; use monkeypatch.setenv"
