"""Deciding and committing: order, failures, evaluations, the memory of runs."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from station.core import messages
from station.core.decision import Decision
from station.scheduler.engine.engine import NotStored
from station.scheduler.engine.loading import UnknownRun, load_run
from station.scheduler.store.writer import Unit
from tests.support.run_invariants import snapshot
from tests.support.scheduler_house import House, agent, approval, house, starlark, timer, waiting
from tests.support.waiting import eventually


@pytest.fixture
async def home(tmp_path: Path, still_url: str) -> AsyncGenerator[House]:
    async with house(tmp_path, still_url, background=False) as opened:
        await opened.announce()
        yield opened


def signal(identity: str, name: str = "go") -> messages.SendSignal:
    return messages.SendSignal(actor="user:a", signal_id=identity, name=name, payload=identity)


class Refusing:
    """Stands before the writer and refuses chosen units."""

    def __init__(self, home: House) -> None:
        self._writer = home.writer
        self.left = 0
        self.of: str | None = None
        home.scheduler.engine.writer = self  # pyright: ignore[reportAttributeAccessIssue]

    def submit(self, unit: Unit) -> asyncio.Future[None]:
        mine = self.of is None or any(self.of in parameters for _, parameters in unit.statements)
        if self.left and mine:
            self.left -= 1
            unit.add_guarded("UPDATE workflows SET revision = 0 WHERE workflow_id = 'nobody'", ())
        return self._writer.submit(unit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)


async def test_the_order_of_deciding_is_the_order_of_committing(home):
    await home.create(waiting("w", "v"), waiting("v"))
    run = await home.start()
    names = [f"s{number}" for number in range(100)]
    await asyncio.gather(*(home.scheduler.engine.submit(run.id, signal(name, "other")) for name in names))
    stored = home.rows("SELECT signal_id FROM workflow_signals WHERE run_id = ? ORDER BY received_seq", run.id)
    assert [row[0] for row in stored] == names


async def test_a_commit_that_fails_drops_the_run_and_the_next_message_works_on_what_is_stored(home):
    await home.create(waiting("w"))
    run = await home.start()
    refusing = Refusing(home)
    refusing.left = 1
    with pytest.raises(NotStored, match="send it again"):
        await home.scheduler.engine.submit(run.id, signal("lost", "other"))
    assert home.scheduler.engine.runs.cached(run.id) is None
    await home.scheduler.engine.submit(run.id, signal("kept"))
    assert home.status(run.id) == "COMPLETED"
    assert home.rows("SELECT signal_id FROM workflow_signals") == [("kept",)]


async def test_turns_decided_on_a_turn_that_fails_fail_with_it(home):
    await home.create(waiting("w"))
    run = await home.start()
    refusing = Refusing(home)
    refusing.left = 1
    outcomes = await asyncio.gather(
        *(home.scheduler.engine.submit(run.id, signal(f"s{number}", "other")) for number in range(5)),
        return_exceptions=True,
    )
    assert all(isinstance(outcome, NotStored) for outcome in outcomes)
    again = await home.scheduler.engine.submit(run.id, signal("s9", "other"))
    assert [event.seq for event in again.events] == [len(home.events(run.id))]


async def test_one_run_that_is_not_stored_costs_the_others_of_a_batch_nothing(home):
    await home.create(waiting("w"))
    runs = [(await home.start()).id for _ in range(5)]
    refusing = Refusing(home)
    refusing.left, refusing.of = 1, runs[2]
    outcomes = await home.scheduler.engine.submit_many([(run_id, signal("s")) for run_id in runs])
    assert [isinstance(outcome, Decision) for outcome in outcomes] == [True, True, False, True, True]
    assert [home.status(run_id) for run_id in runs] == ["COMPLETED"] * 2 + ["WAITING_SIGNAL"] + ["COMPLETED"] * 2
    (again,) = await home.scheduler.engine.submit_many([(runs[2], signal("s"))])
    assert isinstance(again, Decision)


async def test_unknown_runs_among_many_are_told_apart(home):
    await home.create(waiting("w"))
    run = await home.start()
    pairs = [("run_nobody", signal("s")), (run.id, signal("s", "other")), (run.id, signal("t"))]
    unknown, first, second = await home.scheduler.engine.submit_many(pairs)
    assert isinstance(unknown, UnknownRun)
    assert isinstance(first, Decision)
    assert isinstance(second, Decision)
    assert home.status(run.id) == "COMPLETED"


async def test_an_evaluation_holds_its_run_and_no_other(home):
    await home.create(waiting("w", "s"), starlark("s", "yes", "no"), timer("yes", 0), timer("no", 0))
    await home.create(waiting("w"), identity="other")
    run, other = await home.start(input={"n": 1}), await home.start("other")
    home.evaluators.may_answer.clear()
    held = asyncio.ensure_future(home.scheduler.engine.submit(run.id, signal("one")))
    await eventually(lambda: home.evaluators.asked)
    late = asyncio.ensure_future(
        home.scheduler.engine.submit_many([(run.id, signal("two", "x")), (other.id, signal("s"))])
    )
    await eventually(lambda: home.status(other.id) == "COMPLETED")
    assert not held.done()
    assert "state_exited" not in home.events(run.id)
    home.evaluators.may_answer.set()
    await asyncio.gather(held, late)
    stored = home.rows("SELECT signal_id FROM workflow_signals WHERE run_id = ? ORDER BY received_seq", run.id)
    assert [row[0] for row in stored] == ["one", "two"]


async def test_a_turn_whose_evaluation_outlives_a_failed_turn_before_it_is_not_stored(home):
    """The two histories would have the same number of events and differ in what they say."""
    await home.create(waiting("w", "s"), starlark("s", "yes", "no"), waiting("yes"), waiting("no"))
    run = await home.start(input={"n": 1})
    refusing = Refusing(home)
    home.evaluators.may_answer.clear()
    refusing.left = 1
    first = asyncio.ensure_future(home.scheduler.engine.submit(run.id, signal("one", "x")))
    second = asyncio.ensure_future(home.scheduler.engine.submit(run.id, signal("two")))
    with pytest.raises(NotStored):
        await first
    await home.scheduler.engine.submit(run.id, signal("three", "x"))
    home.evaluators.may_answer.set()
    with pytest.raises(NotStored, match="An earlier turn of the run was not stored"):
        await second
    assert home.rows("SELECT signal_id FROM workflow_signals") == [("three",)]


async def test_a_run_that_begins_with_an_evaluation_is_stored_whole(home):
    await home.create(starlark("s", "yes", "no"), waiting("yes"), waiting("no"))
    run = await home.start(input={"n": 1})
    assert home.status(run.id) == "WAITING_SIGNAL"
    assert home.events(run.id)[:2] == ["run_created", "run_started"]


async def test_a_caller_that_goes_away_takes_nothing_along(home):
    await home.create(waiting("w"))
    run = await home.start()
    going = asyncio.ensure_future(home.scheduler.engine.submit(run.id, signal("s", "other")))
    many = asyncio.ensure_future(home.scheduler.engine.submit_many([(run.id, signal("t", "other"))]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    going.cancel()
    many.cancel()
    await asyncio.gather(going, many, return_exceptions=True)
    await home.scheduler.engine.submit(run.id, signal("u"))
    slot = home.scheduler.engine.runs.cached(run.id)
    assert slot is None, "it has ended, and nothing is pending"
    assert home.events(run.id).count("signal_received") == 3


async def test_what_a_part_fails_to_follow_does_not_fail_the_request(home):
    class Broken:
        def committed(self, move: Any) -> None:
            raise RuntimeError("a bug")

    await home.create(waiting("w"))
    home.scheduler.engine.watchers.insert(0, Broken())
    run = await home.start()
    await home.signal(run.id)
    assert home.status(run.id) == "COMPLETED"
    assert home.scheduler.engine.runs.cached(run.id) is None


async def test_what_cannot_be_written_down_leaves_the_run_as_it_was(home):
    await home.create(waiting("w"))
    run = await home.start()
    for message in (messages.SendSignal(actor="user:a", signal_id="s", name="go", payload={"n": object()}),) * 2:
        with pytest.raises(Exception, match="object"):
            await home.scheduler.engine.submit(run.id, message)
        (many,) = await home.scheduler.engine.submit_many([(run.id, message)])
        assert isinstance(many, Exception)
    await home.signal(run.id)
    assert home.status(run.id) == "COMPLETED"


async def test_the_cache_lets_go_of_the_oldest_and_never_of_what_is_pending(home):
    await home.create(waiting("w"))
    runs = [(await home.start()).id for _ in range(4)]
    cache = home.scheduler.engine.runs
    cache._capacity = 2
    slot = cache.cached(runs[0])
    assert slot is not None
    cache._slots.move_to_end(runs[0], last=False)
    slot.pending += 1
    await home.start()
    assert cache.cached(runs[0]) is slot
    assert sum(cache.cached(run_id) is not None for run_id in runs) == 1
    slot.pending -= 1
    await home.start()
    for run_id in runs:
        await home.signal(run_id)
        assert home.status(run_id) == "COMPLETED"


async def test_what_is_loaded_equals_what_was_in_memory(home):
    await home.create(
        {
            "name": "p",
            "type": "parallel",
            "branches": [
                {"name": "one", "start": "a", "states": [agent("a", "b"), approval("b")]},
                {"name": "two", "start": "c", "states": [waiting("c", timeoutSeconds=60)]},
                {"name": "three", "start": "d", "states": [agent("d", "e"), timer("e", 60)]},
            ],
            "end": True,
        },
        timeoutSeconds=300,
    )
    run = await home.start(input={"x": [1, {"y": None}]}, labels={"k": "v"})
    await home.work(run.id, {"found": [1.5, "ä"]})
    await home.signal(run.id, "early", payload=1)
    slot = home.scheduler.engine.runs.cached(run.id)
    assert slot is not None
    loaded, last_hash = await load_run(home.scheduler.reader, run.id)
    assert snapshot(loaded) == snapshot(slot.run)
    assert last_hash == slot.last_hash
    assert all(step.stored for step in loaded.open.values())


async def test_a_run_that_nobody_knows_is_asked_for_every_time(home):
    for _ in range(2):
        with pytest.raises(UnknownRun):
            await home.scheduler.engine.submit("run_none", signal("s"))
    assert home.scheduler.engine.runs._loading == {}


async def test_the_file_is_what_sqlite_calls_whole(home):
    await home.create(waiting("w"))
    await home.start()
    with sqlite3.connect(home.database) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
