"""Statuses are told the same by the contracts, the core, the store and the documentation."""

import re
import sqlite3
from collections.abc import Collection
from enum import StrEnum
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import station.scheduler.store
from station.contracts.statuses import ApprovalStatus, RunStatus, StepStatus, WorkflowStatus
from station.contracts.workflows import WorkflowSummary
from station.core import lifecycle
from tests.support.documents.lifecycle import lifecycle_page

MIGRATIONS = Path(station.scheduler.store.__path__[0]) / "migrations"
TABLES: dict[str, type[StrEnum]] = {
    "workflows": WorkflowStatus,
    "workflow_runs": RunStatus,
    "workflow_run_steps": StepStatus,
    "workflow_approvals": ApprovalStatus,
}
ENDS = {
    "workflow_runs": ("completed_at", lifecycle.ENDED_RUNS),
    "workflow_run_steps": ("completed_at", lifecycle.ENDED_STEPS),
}
TALLIES = {"workflow_run_counts", "workflow_approval_counts", "workflow_approvers"}
"""Triggers write their statuses, from the rows of the tables above."""
TRANSITIONS = (lifecycle.RUN_TRANSITIONS, lifecycle.STEP_TRANSITIONS, lifecycle.APPROVAL_TRANSITIONS)


def tables() -> dict[str, str]:
    """The tables as they stand after every migration: their names and their SQL."""
    with sqlite3.connect(":memory:") as database:
        for script in sorted(MIGRATIONS.glob("*.sql")):
            database.executescript(script.read_text())
        rows = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
    database.close()
    return {name: " ".join(sql.split()) for name, sql in rows}


def lists(sql: str, column: str) -> list[set[str]]:
    """Every list that a column is compared with in a CHECK, in their order."""
    found = re.findall(rf"\b{column} IN \(([^)]*)\)", sql)
    return [set(re.findall(r"'([^']*)'", one)) for one in found]


@pytest.mark.parametrize("table", TABLES)
def test_the_store_takes_exactly_the_statuses_of_the_contracts(table: str) -> None:
    first, *_ = lists(tables()[table], "status")
    assert first == {status.value for status in TABLES[table]}


def test_no_table_has_a_status_that_is_not_compared_here() -> None:
    assert {name for name, sql in tables().items() if re.search(r"\bstatus TEXT\b", sql)} == set(TABLES) | TALLIES


@pytest.mark.parametrize("table", ENDS)
def test_the_store_has_an_end_exactly_for_the_statuses_that_end(table: str) -> None:
    column, ended = ENDS[table]
    sql = tables()[table]
    assert f"CHECK (({column} IS NOT NULL) = (status IN (" in sql
    *_, last = lists(sql, "status")
    assert last == {status.value for status in ended}


def test_an_approval_is_decided_exactly_when_it_is_not_pending() -> None:
    assert "CHECK ((decided_at IS NULL) = (status = 'PENDING'))" in tables()["workflow_approvals"]
    assert {status for status, ways in lifecycle.APPROVAL_TRANSITIONS.items() if ways} == {ApprovalStatus.PENDING}


@pytest.mark.parametrize(("field", "column"), [("source", "source"), ("sync_status", "sync_status")])
def test_the_store_takes_exactly_what_the_contracts_say_of_a_workflow(field: str, column: str) -> None:
    (stored,) = lists(tables()["workflows"], column)
    assert stored == set(get_args(get_type_hints(WorkflowSummary)[field]))


def test_a_workflow_summary_names_the_statuses_of_workflows() -> None:
    assert set(get_args(get_type_hints(WorkflowSummary)["status"])) == {status.value for status in WorkflowStatus}


@pytest.mark.parametrize(("ways", "kind"), [*zip(TRANSITIONS, (RunStatus, StepStatus, ApprovalStatus), strict=True)])
def test_every_status_has_its_ways_and_none_stays_where_it_is(
    ways: dict[StrEnum, Collection[StrEnum]], kind: type[StrEnum]
) -> None:
    assert set(ways) == set(kind)
    assert all(status not in targets for status, targets in ways.items())


def test_the_diagrams_show_every_way_and_no_other() -> None:
    """Read back from the page, with the arrows that leave a box given to everything inside it."""
    diagrams = re.findall(r"```mermaid\n(.*?)```", lifecycle_page(), re.DOTALL)
    for text, ways in zip(diagrams, TRANSITIONS, strict=True):
        inside = re.findall(r"^ {8}(\w+)$", text, re.MULTILINE)
        arrows = set[tuple[str, str]]()
        for origin, target in re.findall(r"(\w+) --> (\w+)", text):
            arrows |= {(one, target) for one in (inside if origin == "open" else [origin])}
        assert arrows == {(status.value, target.value) for status, targets in ways.items() for target in targets}
