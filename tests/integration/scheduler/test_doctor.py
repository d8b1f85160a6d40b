"""The doctor finds what was planted, each by its name, and nothing in a sound store."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from station.contracts.events import Event, LateResultIgnored, RunCompleted, StepSucceeded
from station.contracts.health import RunDoctor
from station.scheduler.engine.chain import seal
from tests.support.scheduler_house import CONTEXT, House, agent, approval, house, waiting


@pytest.fixture
async def home(tmp_path: Path, still_url: str) -> AsyncGenerator[House]:
    async with house(tmp_path, still_url, background=False) as opened:
        await opened.announce()
        await opened.create(agent("a", "ok"), approval("ok", "w"), waiting("w"))
        await opened.start(run_id="r")
        await opened.work("r", {"x": 1})
        yield opened


def vandal(home: House, work: Callable[[sqlite3.Connection], object]) -> None:
    """Change the file as no honest program would."""
    home.sound = False
    connection = sqlite3.connect(home.database, isolation_level=None)
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    work(connection)
    connection.close()


def sql(*statements: str) -> Callable[[sqlite3.Connection], object]:
    return lambda connection: [connection.execute(statement) for statement in statements]


def append(data: object, *, step: bool = True) -> Callable[[sqlite3.Connection], None]:
    """Add an event with a hash that is right."""

    def work(connection: sqlite3.Connection) -> None:
        query = "SELECT seq, hash, at FROM workflow_run_events ORDER BY seq DESC LIMIT 1"
        seq, last, at = connection.execute(query).fetchone()
        (identity,) = connection.execute("SELECT step_id FROM workflow_run_steps ORDER BY entered_seq").fetchone()
        event = Event(run_id="r", seq=seq + 1, at=at, step_id=identity if step else None, actor="user:eve", data=data)  # pyright: ignore[reportArgumentType]
        stored = seal(event, last)
        row = (stored.run_id, stored.seq, stored.type, stored.at, stored.step_id, stored.actor, stored.data.decode())
        connection.execute("INSERT INTO workflow_run_events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, stored.hash))
        connection.execute("UPDATE workflow_runs SET seq = ?, last_hash = ?", (stored.seq, stored.hash))

    return work


@pytest.mark.parametrize(
    ("damage", "check", "detail"),
    [
        (sql("UPDATE workflow_runs SET status = 'RUNNING'"), "rows_are_the_fold", "status differ"),
        (sql('UPDATE workflow_runs SET labels = \'{"a":"b"}\''), "rows_are_the_fold", "labels differ"),
        (sql("UPDATE workflow_run_steps SET output = '{\"x\":2}' WHERE attempt = 1"), "rows_are_the_fold", "output"),
        (sql("UPDATE workflow_approvals SET approvers = '[\"user:eve\"]'"), "rows_are_the_fold", "approvers"),
        (sql("UPDATE workflow_run_documents SET input = '{\"y\":1}'"), "rows_are_the_fold", "input"),
        (sql("UPDATE workflow_run_counts SET runs = 2"), "tallies", "it holds ('w', 'RUNNING', 2)"),
        (sql("DELETE FROM workflow_approvers"), "tallies", "it lacks ('', 'PENDING'"),
        (sql("DELETE FROM workflow_approvals"), "rows_are_the_fold", "0 rows are stored, the events give 1"),
        (sql("DELETE FROM workflow_run_events WHERE seq = 3"), "seq", "event 3 is missing"),
        (sql("DELETE FROM workflow_run_events WHERE seq = 8"), "hash_chain", "last hash"),
        (sql("DELETE FROM workflow_run_events"), "fold", "cannot be folded"),
        (
            sql("UPDATE workflow_run_events SET actor = 'user:eve' WHERE seq = 4"),
            "hash_chain",
            "event 4 does not match",
        ),
        (sql("UPDATE workflow_run_events SET at = at + 1 WHERE seq = 2"), "hash_chain", "event 2 does not match"),
        (sql("UPDATE workflow_run_events SET hash = 'x' WHERE seq = 5"), "hash_chain", "event 5 does not match"),
        (sql("UPDATE workflow_runs SET last_hash = 'x'"), "hash_chain", "last hash is not"),
        (sql("UPDATE workflow_run_events SET type = 'magic' WHERE seq = 5"), "type", "unknown type 'magic'"),
        (sql("UPDATE workflow_run_events SET data = '{' WHERE seq = 5"), "fold", "cannot be folded"),
        (append(StepSucceeded(output=2)), "one_success", "succeeded twice"),
        (sql("PRAGMA foreign_keys=OFF", "DELETE FROM workflow_definitions"), "foreign_keys", "refers to a missing"),
    ],
    ids=lambda value: None if callable(value) else str(value)[:24],
)
async def test_what_was_planted_is_found(home, damage, check, detail):
    assert home.findings() == []
    vandal(home, damage)
    findings = home.findings()
    assert any(found == check and detail in text for found, text in findings), findings


async def test_what_comes_after_the_end_is_found_unless_it_is_a_note(home):
    await home.control("cancel", "r")
    note = LateResultIgnored(token=1, outcome="succeeded", reason="the run is CANCELLED")
    vandal(home, append(note))
    assert home.findings() == []
    vandal(home, append(RunCompleted(), step=False))
    assert any(check == "terminal" and "comes after run_cancelled" in text for check, text in home.findings())


async def test_a_broken_run_does_not_hide_another(home):
    await home.start(run_id="s")
    vandal(home, sql("UPDATE workflow_run_events SET data = '{' WHERE run_id = 'r' AND seq = 1"))
    vandal(home, sql("UPDATE workflow_runs SET status = 'PAUSED' WHERE run_id = 's'"))
    report = await home.by.doctor.examine(RunDoctor(), CONTEXT)
    assert {finding.subject for finding in report.findings} == {"r", "s", "workflow_run_counts"}
    assert report.checked_runs == 2
    newest = await home.by.doctor.examine(RunDoctor(limit=1), CONTEXT)
    assert {finding.subject for finding in newest.findings} == {"s", "workflow_run_counts"}


async def test_the_doctor_from_the_command_line(home, tmp_path):
    def run(database: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "station.scheduler.doctor", "--database", str(database), "--json"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    sound = run(home.database)
    assert (sound.returncode, json.loads(sound.stdout)["findings"]) == (0, [])
    vandal(home, sql("UPDATE workflow_runs SET status = 'RUNNING'"))
    assert run(home.database).returncode == 1
    assert run(tmp_path / "none.db").returncode == 2
