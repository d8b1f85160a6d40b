"""A runner that stands still past its lease loses its steps: what it says afterwards is noted and changes nothing."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e.workflows import agent, ask, store
from tests.support.driver import ok
from tests.support.runner_process import RunnerProcess
from tests.support.system import System


def write_program(system: System, script: str) -> None:
    front = {"model": "exec", "exec": {"command": ["/bin/sh", "-c", script]}}
    system.write_agent("program", f"---\n{json.dumps(front)}\n---\nA program.\n")
    system.wait_agent("program")


def another_runner(system: System, folder: Path) -> RunnerProcess:
    return RunnerProcess(folder, system.nats_url("agent-runner"), STATION_ENVIRONMENTS_DIR=str(system.environments))


def wait_file(find: Callable[[], object]) -> None:
    """Return when a file is there."""
    deadline = time.monotonic() + 20
    while not find():
        assert time.monotonic() < deadline, "the file did not come"
        time.sleep(0.005)


async def test_the_result_of_a_frozen_runner_is_fenced_and_noted(
    make_system: Callable[..., System], tmp_path: Path
) -> None:
    system = make_system(STATION_LEASE_SECONDS="1")
    gate = tmp_path / "gate"
    write_program(system, f"while [ ! -e {gate} ]; do sleep 0.02; done; echo '{{}}'")
    store(system, "gated", agent("work", "program", next="ask"), ask("ask"))
    run_id = system.start_run("gated")
    first = system.wait_event(run_id, "step_started")
    frozen = system.pids["agent-runner"]
    # It freezes with a result in its hands that it could not report.
    system.kill("scheduler")
    gate.touch()
    wait_file(lambda: list((system.data_dir / "agent-runner").glob("*/*.result")))
    os.kill(frozen, signal.SIGSTOP)
    other = another_runner(system, tmp_path / "other")
    try:
        system.start("scheduler")
        await other.start()
        second = system.wait_event(run_id, "step_started", lambda event: event["seq"] > first["seq"])
        assert second["data"]["runner"] != first["data"]["runner"]
        succeeded = system.wait_event(run_id, "step_succeeded")
        assert succeeded["actor"] == f"runner:{second['data']['runner']}"
        os.kill(frozen, signal.SIGCONT)
        late = system.wait_event(run_id, "late_result_ignored")
        assert late["data"]["token"] == first["seq"]
        assert late["actor"] == f"runner:{first['data']['runner']}"
    finally:
        await other.close()
    assert [step["attempt"] for step in system.steps(run_id) if step["stateName"] == "work"] == [1]
    ok(system.approve(run_id, system.approvals(run_id)[0]["id"]))
    system.finish(run_id)
    assert len(system.events(run_id, "step_succeeded")) == 2, "the agent's and the approval's"


async def test_tasks_that_a_frozen_runner_has_fetched_go_to_another_one(
    make_system: Callable[..., System], tmp_path: Path
) -> None:
    system = make_system(STATION_LEASE_SECONDS="1")
    write_program(system, "echo '{}'")
    store(system, "short", agent("work", "program"))
    other = another_runner(system, tmp_path / "other")
    frozen = system.pids["agent-runner"]
    try:
        await other.start()
        await other.logged("probes_listening")
        system.finish(system.start_run("short"))
        os.kill(frozen, signal.SIGSTOP)
        # Its fetches wait at the broker and take tasks along; nobody will ever claim those.
        runs = [system.start_run("short") for _ in range(8)]
        for run_id in runs:
            system.finish(run_id, timeout=20)
        os.kill(frozen, signal.SIGCONT)
    finally:
        await other.close()
    for run_id in runs:
        assert len(system.events(run_id, "step_started")) == 1
