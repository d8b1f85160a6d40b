"""A machine that is out of breath or out of room: clear answers in time, no half transaction, and one run per key."""

import contextlib
import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from station.scheduler.doctor import check
from tests.e2e.agents import Pipe
from tests.e2e.hostile.processes import figure, frozen
from tests.e2e.workflows import agent, store, wait_timer
from tests.support.driver import ok
from tests.support.system import BROKER, System
from tests.support.waiting import eventually

_PATIENCE = 30.0
RETRIES = ("agent-runner", "runner_scheduler_retries_total")


def test_a_second_scheduler_says_why_it_will_not_run(unshaken: System) -> None:
    environment = {
        **os.environ,
        "STATION_DATA_DIR": str(unshaken.data_dir),
        "STATION_NATS_EMBEDDED": "false",
        "STATION_NATS_URL": unshaken.nats_url("scheduler"),
        "STATION_LOG_FORMAT": "json",
    }
    command = [sys.executable, "-m", "station.scheduler"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=_PATIENCE)
    assert done.returncode == 1
    errors = [line for line in (done.stdout + done.stderr).splitlines() if '"level":"error"' in line]
    assert len(errors) == 1, done.stdout + done.stderr
    assert f"Another scheduler (process {unshaken.pids['scheduler']})" in errors[0]
    assert "STATION_DATA_DIR" in errors[0]
    assert "Traceback" not in done.stdout + done.stderr


def test_a_broker_that_stands_still(unshaken: System) -> None:
    store(unshaken, "still", agent("work", "ok"))
    with frozen(unshaken, BROKER):
        _refused_in_time(unshaken, "still")
    _started_once(unshaken, "still")


def test_a_disk_that_takes_its_time(unshaken: System) -> None:
    """Another process holds the database; what was asked for is done once it lets go, for whoever asks again."""
    store(unshaken, "slow", agent("work", "ok"))
    with _database_held(unshaken):
        _refused_in_time(unshaken, "slow")
    _started_once(unshaken, "slow")


async def test_a_disk_that_is_full(unshaken: System, tmp_path: Path) -> None:
    """Nothing is half done. What is under way, a timer and an agent's work, counts when there is room again."""
    pipe = Pipe(tmp_path)
    store(unshaken, "full", agent("work", "ok"))
    store(unshaken, "due", wait_timer("wait", 0.5, next="work"), agent("work", "ok"))
    store(unshaken, "working", agent("work", "gate", variables={"pipe": str(pipe)}))
    working, due = unshaken.start_run("working"), unshaken.start_run("due")
    unshaken.wait_event(working, "step_started")
    with _no_room(unshaken):
        for _ in range(2):
            answer = _start(unshaken, "full")
            assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable"), answer.text
            assert answer.headers["retry-after"].isdigit()
        assert ok(unshaken.api.get("/workflow-runs", params={"workflowId": "full"}))["total"] == 0
        document = "id: no-room\nstates: [{name: a, type: inject, data: {}}]\n"
        refused = unshaken.api.post("/workflows", content=document, headers={"content-type": "application/yaml"})
        assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable"), refused.text
        pipe.send({"done": True})
        before = figure(unshaken, *RETRIES)
        await eventually(lambda: figure(unshaken, *RETRIES) > before + 8)  # longer than anybody who gives up would try
    _started_once(unshaken, "full")
    assert unshaken.finish(due)["status"] == "COMPLETED"
    assert unshaken.finish(working)["output"] == {"done": True}
    assert [step["attempt"] for step in unshaken.steps(working)] == [1]
    assert not unshaken.events(working, "step_redispatched"), "the work was done again"
    assert not check(unshaken.sqlite, 1000).findings


def _start(system: System, workflow: str) -> httpx.Response:
    return system.post_run(workflow, headers={"idempotency-key": f"key-of-{workflow}"})


def _refused_in_time(system: System, workflow: str) -> None:
    answer = _start(system, workflow)  # the gateway gives up by itself, before the client's own patience ends
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
    assert answer.headers["retry-after"].isdigit()
    assert answer.headers["idempotency-key"] == f"key-of-{workflow}"


def _started_once(system: System, workflow: str) -> None:
    """The same key is sent until it is taken, as the answer advises; there is one run, and it comes to its end."""
    run_id = _taken(system, workflow)
    system.finish(run_id)
    assert _taken(system, workflow) == run_id
    assert [run["id"] for run in system.all_pages("/workflow-runs", workflowId=workflow)] == [run_id]


def _taken(system: System, workflow: str) -> str:
    deadline = time.monotonic() + _PATIENCE
    while (answer := _start(system, workflow)).status_code == 503:
        assert time.monotonic() < deadline, answer.text
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


@contextlib.contextmanager
def _database_held(system: System) -> Iterator[None]:
    other = sqlite3.connect(system.sqlite, isolation_level=None)
    try:
        other.execute("PRAGMA busy_timeout=5000")
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


@contextlib.contextmanager
def _no_room(system: System) -> Iterator[None]:
    """No file of the scheduler may grow: what a full disk does, to one process."""
    pid = system.pids["scheduler"]
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
