"""A fail point costs nothing unless asked for, and then ends the process once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from station.runtime import failpoints

PROGRAM = """
from station.runtime.failpoints import hit
for number in range(3):
    hit("here")
    print(number, flush=True)
"""


def run(directory: Path | None) -> tuple[int, list[str]]:
    """The exit code, and what was got past."""
    environ = {name: value for name, value in os.environ.items() if name != failpoints.VARIABLE}
    if directory is not None:
        environ[failpoints.VARIABLE] = str(directory)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert not done.stderr
    return done.returncode, done.stdout.split()


ALL = (0, ["0", "1", "2"])


def test_nothing_happens_unless_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    assert run(None) == ALL


@pytest.mark.parametrize(("text", "past"), [("", []), ("1", []), ("3\n", ["0", "1"])])
def test_the_process_dies_at_the_hit_that_the_file_says_and_only_once(
    tmp_path: Path, text: str, past: list[str]
) -> None:
    (tmp_path / "here").write_text(text)
    assert run(tmp_path) == (-signal.SIGKILL, past)
    assert not list(tmp_path.iterdir())
    assert run(tmp_path) == ALL


def test_other_points_and_points_that_are_not_reached_stay_armed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch()
    (tmp_path / "here").write_text("4")
    assert run(tmp_path) == ALL
    assert len(list(tmp_path.iterdir())) == 2


def test_the_service_is_not_slowed_down() -> None:
    assert failpoints.VARIABLE not in os.environ
    assert failpoints.hit.__name__ == "_nothing"
