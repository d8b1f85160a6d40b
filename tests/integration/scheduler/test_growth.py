"""What a list costs does not depend on how much the store holds: counted in instructions of SQLite, not in time."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from station.contracts.approvals import DecideApproval, ListApprovals, Principal
from station.contracts.runs import GetRun, ListEvents, ListRuns, ListSteps
from station.contracts.workflows import GetWorkflow, ListWorkflows
from station.scheduler.engine.attempts import Attempts
from station.scheduler.engine.timers import Timers
from station.scheduler.store.database import open_reader
from tests.benchmarks.history import multiply
from tests.support.scheduler_house import CONTEXT, House, agent, approval, house, waiting

RUN = "run_original"
BOB = Principal(user="bob", teams=("ops",))
BEFORE, AFTER = 1_200, 2_400
"""Ended runs: more than are ever counted, and twice as many."""

Ask = Callable[[House], Awaitable[Any]]
ASKED: dict[str, Ask] = {
    "runs": lambda home: home.by.queries.runs(ListRuns(limit=5), CONTEXT),
    "runs of a status": lambda home: home.by.queries.runs(ListRuns(limit=5, status="COMPLETED"), CONTEXT),
    "runs of a workflow": lambda home: home.by.queries.runs(ListRuns(limit=5, workflow_id="old"), CONTEXT),
    "rare runs of a workflow": lambda home: home.by.queries.runs(
        ListRuns(limit=5, workflow_id="old", status="CANCELLED"), CONTEXT
    ),
    "runs of a label": lambda home: home.by.queries.runs(ListRuns(limit=5, labels={"age": "old"}), CONTEXT),
    "runs of a rare label": lambda home: home.by.queries.runs(ListRuns(limit=5, labels={"age": "new"}), CONTEXT),
    "runs of two labels": lambda home: home.by.queries.runs(
        ListRuns(limit=5, labels={"all": "yes", "age": "new"}), CONTEXT
    ),
    "runs of a label that wait": lambda home: home.by.queries.runs(
        ListRuns(limit=5, labels={"all": "yes"}, status="WAITING_SIGNAL"), CONTEXT
    ),
    "a run": lambda home: home.by.queries.run(GetRun(run_id=RUN), CONTEXT),
    "steps": lambda home: home.by.queries.steps(ListSteps(run_id=RUN), CONTEXT),
    "events": lambda home: home.by.queries.events(ListEvents(run_id=RUN), CONTEXT),
    "approvals": lambda home: home.by.approvals.page(ListApprovals(limit=5), CONTEXT),
    "the inbox": lambda home: home.by.approvals.page(ListApprovals(limit=5, status="PENDING"), CONTEXT),
    "my inbox": lambda home: home.by.approvals.page(
        ListApprovals(limit=5, status="PENDING", mine=True, principal=BOB), CONTEXT
    ),
    "what I could decide": lambda home: home.by.approvals.page(
        ListApprovals(limit=5, mine=True, principal=BOB), CONTEXT
    ),
    "what a stranger can decide": lambda home: home.by.approvals.page(
        ListApprovals(limit=5, mine=True, principal=Principal(user="eve")), CONTEXT
    ),
    "workflows": lambda home: home.by.workflows.page(ListWorkflows(), CONTEXT),
    "a workflow": lambda home: home.by.workflows.get(GetWorkflow(workflow_id="old"), CONTEXT),
    "timers at the start": lambda home: Timers(home.scheduler.engine, home.scheduler.now).load(home.scheduler.reader),
    "attempts at the start": lambda home: Attempts(home.scheduler.now, 1_000).load(home.scheduler.reader),
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    return {count: tmp_path_factory.mktemp(f"store-{count}") for count in (BEFORE, AFTER)}


async def filled(directory: Path, url: str, count: int) -> None:
    """So many runs that have ended, with approvals for ops that were given, and a few that wait."""
    async with house(directory, url, background=False) as home:
        await home.announce()
        await home.create(agent("a", "ok"), approval("ok", approvers=["team:ops"]), identity="old")
        await home.create(waiting("w"), identity="new")
        await home.start("old", run_id=RUN, labels={"age": "old", "all": "yes"})
        await home.work(RUN, {"x": 1})
        ((asked,),) = home.rows("SELECT approval_id FROM workflow_approvals")
        decision = DecideApproval(run_id=RUN, approval_id=asked, decision="approve", by="user:bob")
        await home.by.approvals.decide(decision, CONTEXT)
    multiply(directory / "station.db", [RUN], count)
    async with house(directory, url, background=False) as home:
        for number in range(3):
            await home.start("new", labels={"age": "new", "all": "yes"})
            await home.start("old", run_id=f"asks-{number}")
            await home.work(f"asks-{number}", {"x": 1})


async def costs(home: House, ask: Ask) -> int:
    """SQLite's instructions for everything that is asked of the store, repeated on a connection of our own."""
    asked: list[tuple[str, Any]] = []
    rows = home.scheduler.reader.rows

    async def heard(sql: str, parameters: Any = ()) -> Any:
        asked.append((sql, parameters))
        return await rows(sql, parameters)

    home.scheduler.reader.rows = heard
    try:
        await ask(home)
    finally:
        home.scheduler.reader.rows = rows
    instructions = 0

    def count() -> int:
        nonlocal instructions
        instructions += 10
        return 0

    with contextlib.closing(open_reader(home.database)) as connection:
        connection.set_progress_handler(count, 10)
        for sql, parameters in asked:
            connection.execute(sql, parameters).fetchall()
    return instructions


@pytest.fixture
async def homes(stores: dict[int, Path], still_url: str) -> AsyncGenerator[dict[int, House]]:
    async with contextlib.AsyncExitStack() as stack:
        opened: dict[int, House] = {}
        for count, directory in stores.items():
            if not (directory / "station.db").exists():
                await filled(directory, still_url, count)
            opened[count] = await stack.enter_async_context(house(directory, still_url, background=False))
            opened[count].sound = False  # the doctor reads everything; once is enough
        yield opened


@pytest.mark.parametrize("name", ASKED)
async def test_a_list_costs_the_same_when_the_store_holds_twice_as_much(homes: dict[int, House], name: str) -> None:
    before, after = [await costs(homes[count], ASKED[name]) for count in (BEFORE, AFTER)]
    assert after <= before * 1.05 + 50, f"{name}: {before} instructions, then {after}"


async def test_totals_are_right_and_counted_so_far_as_is_said(homes: dict[int, House]) -> None:
    home, runs = homes[AFTER], AFTER + 1
    totals = {
        (): runs + 6,
        (("status", "COMPLETED"),): runs,
        (("workflow_id", "old"), ("status", "CANCELLED")): 0,
        (("workflow_id", "old"), ("status", "WAITING_APPROVAL")): 3,
        (("labels", (("age", "new"),)),): 3,
        (("labels", (("age", "old"),)),): 1_001,
        (("labels", (("age", "old"), ("all", "yes"))),): 1_001,
        (("labels", (("age", "new"), ("all", "yes"))), ("status", "WAITING_SIGNAL")): 3,
        (("labels", (("age", "new"),)), ("status", "COMPLETED")): 0,
    }
    for fields, total in totals.items():
        asked: dict[str, Any] = {name: dict(value) if name == "labels" else value for name, value in fields}
        page = await home.by.queries.runs(ListRuns(limit=2, **asked), CONTEXT)
        assert (page.total, len(page.items)) == (total, min(2, total)), fields


async def test_everybody_sees_the_approvals_that_are_theirs(homes: dict[int, House]) -> None:
    home, given = homes[AFTER], AFTER + 1

    async def total(principal: Principal, **fields: Any) -> int:
        asked = ListApprovals(limit=2, mine=True, principal=principal, **fields)
        return (await home.by.approvals.page(asked, CONTEXT)).total

    assert await total(BOB) == 1_001
    assert await total(BOB, status="PENDING") == 3
    assert await total(BOB, status="PENDING", run_id="asks-1") == 1
    assert await total(Principal(user="eve", teams=("dev",))) == 0
    many = Principal(user="bob", teams=("ops", *(f"t{number}" for number in range(100))))
    assert await total(many) == 1_001
    assert await total(many, status="PENDING") == 3
    page = await home.by.approvals.page(ListApprovals(limit=2, status="APPROVED"), CONTEXT)
    assert page.total == given


async def test_what_the_scheduler_and_the_benchmark_have_written_is_sound(homes: dict[int, House]) -> None:
    assert homes[BEFORE].findings() == []
