"""Disks of the broker and of a runner that are full, as their processes see it: no file of theirs may grow."""

import contextlib
import json
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from station.scheduler.doctor import check
from tests.e2e.hostile.processes import figure
from tests.e2e.test_interrupted import Stn
from tests.e2e.workflows import agent, store
from tests.support.driver import ok
from tests.support.system import BROKER, System
from tests.support.waiting import eventually

MakeSystem = Callable[..., System]


@contextlib.contextmanager
def no_room(pid: int, most: int = 1) -> Iterator[None]:
    """No file of the process may grow beyond so many bytes."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


def readiness(system: System, name: str) -> str:
    """What a service that is not ready says of it; empty while it is ready."""
    answer = system.readyz(name)
    return answer.text if answer is not None and answer.status_code == 503 else ""


async def test_what_the_broker_cannot_store_waits_in_the_outbox(make_system: MakeSystem) -> None:
    system = make_system()
    system.write_scripted("ok", {"answer": {"ok": True}})
    system.wait_agent("ok")
    store(system, "work", agent("work", "ok"))
    with no_room(system.pids[BROKER]):
        # Commands do not go through the broker's files: they are taken as ever, each once.
        runs = [ok(system.post_run("work", headers={"idempotency-key": f"k{n}"}))["id"] for n in range(3)]
        told = (await eventually(lambda: system.records("scheduler", "broker_stores_nothing")))[0]
        assert "file too large" in told["error"]
        assert "Free space" in told["todo"]
        await eventually(lambda: "stores nothing" in readiness(system, "scheduler"))
        ready = system.readyz("gateway")
        assert ready is not None
        assert (ready.status_code, "stores nothing" in ready.text) == (200, True), "it still takes every command"
        assert figure(system, "scheduler", "bus_store_refusing") >= 1
        assert figure(system, "scheduler", "outbox_depth") >= len(runs)
        assert [system.run(run_id)["status"] for run_id in runs] == ["RUNNING"] * len(runs)
        assert ok(system.post_run("work", headers={"idempotency-key": "k0"}))["id"] == runs[0]
    system.kill(BROKER)
    system.start(BROKER)
    for run_id in runs:
        system.finish(run_id)
        assert [step["attempt"] for step in system.steps(run_id)] == [1]
    system.wait_ready()
    await eventually(lambda: system.records("scheduler", "broker_stores_again"))
    await eventually(lambda: figure(system, "scheduler", "outbox_depth") == 0)
    assert not check(system.sqlite, 1000).findings


async def test_a_result_that_the_spool_has_no_room_for_is_reported_all_the_same(make_system: MakeSystem) -> None:
    system = make_system()
    code = "print('\"' + 'x' * 600_000 + '\"')"
    front = {"model": "exec", "exec": {"command": [sys.executable, "-IS", "-c", code]}}
    system.write_agent("talk", f"---\n{json.dumps(front)}\n---\nTalks.\n")
    system.wait_agent("talk")
    store(system, "talk", agent("work", "talk"))
    with no_room(system.pids["agent-runner"], 300_000):  # its log still has some
        run_id = system.start_run("talk")
        assert len(system.finish(run_id)["output"]) > 500_000
        (told,) = system.records("agent-runner", "spool_write_failed")
        assert (told["run_id"], "free some space" in told["todo"]) == (run_id, True)
        assert figure(system, "agent-runner", "runner_unspooled_total") == 1
        assert "takes no results" in readiness(system, "agent-runner")
        spool = system.data_dir / "agent-runner" / "default"
        assert not [file.name for file in spool.iterdir() if file.suffix in {".tmp", ".result"}]
    system.wait_ready()
    before = figure(system, "agent-runner", "runner_spooled_total")
    system.finish(system.start_run("talk"))
    assert figure(system, "agent-runner", "runner_spooled_total") == before + 1
    assert [step["attempt"] for step in system.steps(run_id)] == [1]
    assert not check(system.sqlite, 1000).findings


def test_up_starts_the_broker_again_when_there_is_room(tmp_path: Path) -> None:
    agents = tmp_path / "environments" / "test" / "agents"
    agents.mkdir(parents=True)
    (agents / "ok.prompt").write_text("---\nmodel: scripted\nscripted: [{answer: done}]\n---\nWorks.\n")
    stn = Stn(tmp_path, environments=tmp_path / "environments")
    try:
        stn.start("up")
        stn.wait_ready()
        stn.wait_agent("ok")
        store(stn, "work", agent("work", "ok"))
        (broker,) = [child.pid for child in stn.children() if child.name() == BROKER]
        # The limit is of this one process and lasts as long as it does: nothing but a new one can go on.
        resource.prlimit(broker, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        stn.finish(stn.start_run("work"), timeout=60)
        assert broker not in [child.pid for child in stn.children()]
    finally:
        stn.close()
