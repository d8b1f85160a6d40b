"""The restore drill: a backup that was taken in the middle of everything is enough to go on."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from station.scheduler.doctor import check
from tests.e2e.story import ITEMS, STEPS, Story
from tests.support.driver import ok
from tests.support.system import System

RUNS = 8
SECONDS = 60.0


def stn(system: System, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`stn` as an operator runs it beside the system."""
    return subprocess.run(
        [sys.executable, "-m", "station.cli", *arguments, "--data-dir", str(system.data_dir), "-o", "json"],
        env={"PATH": os.environ["PATH"], "HOME": str(system.data_dir)},
        capture_output=True,
        text=True,
        check=False,
    )


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def accompany(system: System, run_id: str) -> None:
    """Do what people do, as if nobody had done it before; what the backup knows of is not taken twice."""
    approval = system.wait_approval(run_id, SECONDS)
    assert system.approve(run_id, approval["id"]).status_code in {200, 409}
    ok(system.signal(run_id, "go", {"by": run_id}, id="once"))
    system.finish(run_id, timeout=SECONDS)


@pytest.mark.parametrize("keep_bus", [False, True], ids=["bus-wiped", "bus-kept"])
def test_everything_in_a_backup_taken_in_the_middle_of_runs_finishes(tmp_path: Path, *, keep_bus: bool) -> None:
    with System(tmp_path) as system:
        story = Story(system)
        story.ready()
        run_ids = [system.start_run("everything", {"items": ITEMS}, runId=f"drill-{n}") for n in range(RUNS)]
        for run_id in run_ids[: RUNS // 2]:
            ok(system.approve(run_id, system.wait_approval(run_id)["id"]))
        story.wait_effects("drill", RUNS * 2)
        backup = answer(stn(system, "backup"))
        assert backup["runs"] == RUNS
        assert stn(system, "restore", backup["path"]).returncode != 0, "the scheduler holds the database"

        # What comes after the backup is lost with the database: more work of the same runs, and a run of its own.
        late = system.start_run("everything", {"items": ITEMS}, runId="drill-late")
        story.wait_effects("drill", RUNS * 3)
        system.kill_all()
        command = ["restore", backup["path"], *(["--keep-bus"] if keep_bus else [])]
        restored = answer(stn(system, *command))
        assert restored["busWiped"] is not keep_bus
        assert (system.data_dir / "jetstream").exists() is keep_bus
        assert not check(Path(restored["replaced"])).findings
        system.start_all()

        assert system.api.get(f"/workflow-runs/{late}").status_code == 404
        for run_id in run_ids:
            accompany(system, run_id)
            events = system.events(run_id, "step_succeeded")
            assert len({event["stepId"] for event in events}) == len(events)
            agents = {step["stepId"] for step in system.steps(run_id) if step["action"] == "agent.run"}
            assert len(agents) == STEPS
        again = system.start_run("everything", {"items": ITEMS}, runId=late)
        accompany(system, again)
        report = check(system.sqlite, limit=1_000_000)
        assert not report.findings
        assert report.checked_runs == RUNS + 1
        story.close()


def test_what_cannot_be_restored_is_said_in_a_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "station.cli"]
    place = ["--data-dir", str(tmp_path / "data")]
    for arguments, words in (
        (["backup"], "There is no database"),
        (["restore", str(tmp_path / "none.db")], "There is no file"),
        (["restore", __file__], "cannot be copied"),
    ):
        done = subprocess.run([*command, *arguments, *place], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "data" / "station.db").exists()
