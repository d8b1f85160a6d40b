"""Spans of what was committed: each once, and after a start again those that may not have reached the collector."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from station.runtime.telemetry import SpanRecord
from station.scheduler.engine import spans as module
from station.scheduler.engine.spans import Spans
from station.scheduler.store.database import open_writer
from station.scheduler.store.reader import Reader
from tests.support.scheduler_house import Clock, House, agent, house, waiting

_NAMED_AFTER = {"WorkflowRun": "run_id", "StateTransition": "state_name", "StepExecute": "action"}


class Collected:
    """A collector that keeps what kind of span came, and of what."""

    enabled = True

    def __init__(self) -> None:
        self.names: list[tuple[str, str]] = []

    def emit(self, record: SpanRecord) -> None:
        self.names.append((record.name, record.attributes[_NAMED_AFTER[record.name]]))

    def taken(self) -> list[tuple[str, str]]:
        names, self.names = self.names, []
        return sorted(names)


@pytest.fixture
def collected() -> Collected:
    return Collected()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def home(tmp_path: Path, still_url: str, collected: Collected, clock: Clock) -> AsyncGenerator[House]:
    async with house(tmp_path, still_url, background=False, spans=collected, clock=clock) as opened:
        await opened.announce()
        yield opened


async def recent(home: House) -> list[tuple[str, str]]:
    """What a new start would emit."""
    again, reader = Collected(), await Reader.open(home.database)
    exporter: Any = again
    try:
        await Spans(exporter).emit_recent(reader)
    finally:
        await reader.close()
    return again.taken()


async def test_a_late_result_emits_nothing_again(home: House, collected: Collected) -> None:
    await home.create(agent("a"))
    run = await home.start()
    (step,) = home.open_steps(run.id)
    (claim,) = await home.claim(step)
    assert collected.taken() == []
    await home.control("cancel", run.id)
    assert collected.taken() == [("StateTransition", "a"), ("StepExecute", "agent.run"), ("WorkflowRun", run.id)]
    assert await home.report(step, claim.token, 1) != "accepted"
    assert home.events(run.id)[-1] == "late_result_ignored"
    assert collected.taken() == []


async def test_a_start_emits_what_ended_shortly_before_it(home: House, clock: Clock) -> None:
    assert await recent(home) == []
    await home.create(agent("a", way_on="b"), waiting("b"))
    old, open_, ended = [await home.start() for _ in range(3)]
    await home.work(old.id)
    await home.signal(old.id)
    clock.advance(60)
    await home.work(open_.id)
    await home.work(ended.id)
    clock.advance(4)
    await home.signal(ended.id)
    a, b = ("StateTransition", "a"), ("StateTransition", "b")
    steps = [("StepExecute", "agent.run"), ("StepExecute", "agent.run"), ("StepExecute", "signal.wait")]
    assert await recent(home) == [a, a, b, *steps, ("WorkflowRun", ended.id)]
    clock.advance(2)
    await home.signal(open_.id)
    # What ended more than five seconds before the last that did has reached the collector.
    assert await recent(home) == [b, b, *steps[2:] * 2, *sorted(("WorkflowRun", run.id) for run in (open_, ended))]


def test_finding_them_reads_no_table_from_end_to_end(tmp_path: Path) -> None:
    with contextlib.closing(open_writer(tmp_path / "station.db")) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {module._RECENT}", (-1,)).fetchall()
    scanned = {step[3].split()[1] for step in plan if step[3].startswith("SCAN")}
    assert scanned <= {"w", "latest", "since"}
