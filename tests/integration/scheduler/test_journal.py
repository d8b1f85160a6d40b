"""What the scheduler logs of the work that it commits."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.support.scheduler_house import House, agent, house, timer, waiting


@pytest.fixture
async def home(tmp_path: Path, still_url: str) -> AsyncGenerator[House]:
    async with house(tmp_path, still_url, background=False) as opened:
        await opened.announce()
        yield opened


def of(lines: list[EventDict], message: str) -> list[tuple[str | None, str, str, str | None]]:
    return [
        (line.get("executor"), line["status"], line["log_level"], line.get("error_type"))
        for line in lines
        if line["event"] == message
    ]


async def test_a_wait_and_the_end_of_a_run_are_one_line_each(home: House) -> None:
    await home.create(waiting("w", "a"), agent("a"))
    with capture_logs() as lines:
        run = await home.start()
        await home.signal(run.id)
        assert of(lines, "run_ended") == []
        await home.work(run.id)
    assert of(lines, "step_executed") == [("signal.wait", "SUCCEEDED", "info", None)]
    assert of(lines, "run_ended") == [(None, "COMPLETED", "info", None)]
    line = next(line for line in lines if line["event"] == "step_executed")
    assert (line["run_id"], line["attempt"]) == (run.id, 1)
    assert line["duration_ms"] >= 0
    assert len(line["step_id"]) == 32


async def test_what_failed_says_why(home: House) -> None:
    await home.create(timer("t", "{{ input.seconds }}"))  # pyright: ignore[reportArgumentType]
    with capture_logs() as lines:
        await home.start(input={"seconds": -1})
    assert of(lines, "step_executed") == [("timer.wait", "FAILED", "warning", "validation")]
    assert of(lines, "run_ended") == [(None, "FAILED", "warning", "validation")]
