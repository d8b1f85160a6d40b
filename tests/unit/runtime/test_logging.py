"""Lines of our own and of libraries look alike, and one that cannot be written harms nobody."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

BOTH = """
import logging
from station.runtime.logging import bound, get_logger, setup
setup("scheduler", "json", "info")
log = get_logger("steps")
with bound(run_id="run_1"):
    log.info("step_executed", status="SUCCEEDED")
    log.debug("unseen")
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("broke")
logging.getLogger("library").warning("it says %s", "so", extra={"port": 1})
logging.getLogger("library").info("and so")
print("went on")
"""


def run(stderr: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BOTH], stdout=subprocess.PIPE, stderr=stderr, text=True, check=True)


def test_every_line_is_one_json_object_with_the_same_names(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        run(log.fileno())
    lines: list[dict[str, Any]] = [msgspec.json.decode(line) for line in (tmp_path / "log").read_bytes().splitlines()]
    assert [(line["logger"], line["level"], line["message"]) for line in lines] == [
        ("steps", "info", "step_executed"),
        ("steps", "error", "broke"),
        ("library", "warning", "it says so"),
        ("library", "info", "and so"),
    ]
    assert all({"ts", "service"} <= line.keys() for line in lines)
    assert (lines[0]["run_id"], lines[0]["status"]) == ("run_1", "SUCCEEDED")
    assert "ZeroDivisionError" in lines[1]["exception"]
    assert lines[2]["port"] == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_line_that_a_full_disk_does_not_take_is_lost_and_nothing_else() -> None:
    with Path("/dev/full").open("wb") as full:
        assert run(full.fileno()).stdout == "went on\n"


def test_a_line_that_nobody_reads_is_lost_and_nothing_else() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert run(writing).stdout == "went on\n"
    finally:
        os.close(writing)
