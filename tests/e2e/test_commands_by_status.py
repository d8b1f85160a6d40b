"""Every command in every status of a run, from one table: what is allowed does what it says, the rest is 409.

PENDING is not in it: a run is created and started in one transaction, so no request ever meets it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from station.contracts.statuses import RunStatus
from tests.e2e.agents import Pipe
from tests.e2e.workflows import agent, ask, parallel, store, wait_signal
from tests.support.driver import ok
from tests.support.system import System

COMMANDS = ("pause", "resume", "cancel", "signal", "approve", "reject")
# What the run is after the command; None: it is refused with 409.
AFTER: dict[str, dict[str, str | None]] = {
    "RUNNING": {
        "pause": "PAUSED", "resume": None, "cancel": "CANCELLED",
        "signal": "RUNNING", "approve": "RUNNING", "reject": "CANCELLED",
    },
    "WAITING_APPROVAL": {
        "pause": "PAUSED", "resume": None, "cancel": "CANCELLED",
        "signal": "WAITING_APPROVAL", "approve": "WAITING_SIGNAL", "reject": "CANCELLED",
    },
    "WAITING_SIGNAL": {
        "pause": "PAUSED", "resume": None, "cancel": "CANCELLED",
        "signal": "COMPLETED", "approve": None, "reject": None,
    },
    "PAUSED": {
        "pause": None, "resume": "WAITING_APPROVAL", "cancel": "CANCELLED",
        "signal": "PAUSED", "approve": "PAUSED", "reject": "PAUSED",
    },
    **{
        ended: dict.fromkeys(COMMANDS)
        for ended in ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
    },
}  # fmt: skip
CASES = [(status, command) for status in AFTER for command in COMMANDS]


class Met(NamedTuple):
    """A run in the wanted status, and its only approval, which may be decided."""

    run_id: str
    approval_id: str


@pytest.fixture(autouse=True)
def _definitions(system: System) -> None:
    store(system, "by-status-both", parallel("all", {"ask": [ask("ask")], "listen": [wait_signal("listen", "go")]}))
    store(system, "by-status-listens", ask("ask", next="listen"), wait_signal("listen", "go"))
    store(system, "by-status-fails", ask("ask", next="fail"), agent("fail", "fails"))
    store(system, "by-status-late", ask("ask"), timeoutSeconds=0.2)
    work = agent("work", "gate", variables={"pipe": "{{ pipe }}"})
    store(system, "by-status-works", parallel("all", {"ask": [ask("ask")], "work": [work]}))


def _begin(system: System, workflow: str, **given: Any) -> Met:
    run_id = system.start_run(workflow, given)
    return Met(run_id, system.wait_approval(run_id)["id"])


def _approved(system: System, workflow: str, **given: Any) -> Met:
    met = _begin(system, workflow, **given)
    ok(system.approve(*met))
    return met


def _running(system: System, pipe: str) -> Met:
    met = _begin(system, "by-status-works", pipe=pipe)
    system.wait_event(met.run_id, "step_started", lambda event: event["actor"].startswith("runner:"))
    return met


def _waiting_approval(system: System, _pipe: str) -> Met:
    return _begin(system, "by-status-both")


def _waiting_signal(system: System, _pipe: str) -> Met:
    return _approved(system, "by-status-listens")


def _paused(system: System, _pipe: str) -> Met:
    met = _begin(system, "by-status-both")
    ok(system.control(met.run_id, "pause"))
    return met


def _completed(system: System, _pipe: str) -> Met:
    met = _approved(system, "by-status-listens")
    ok(system.signal(met.run_id, "go"))
    return met


def _failed(system: System, _pipe: str) -> Met:
    return _approved(system, "by-status-fails")


def _cancelled(system: System, _pipe: str) -> Met:
    met = _begin(system, "by-status-both")
    ok(system.control(met.run_id, "cancel"))
    return met


def _timed_out(system: System, _pipe: str) -> Met:
    return _begin(system, "by-status-late")


REACH: dict[str, Callable[[System, str], Met]] = {
    "RUNNING": _running,
    "WAITING_APPROVAL": _waiting_approval,
    "WAITING_SIGNAL": _waiting_signal,
    "PAUSED": _paused,
    "COMPLETED": _completed,
    "FAILED": _failed,
    "CANCELLED": _cancelled,
    "TIMED_OUT": _timed_out,
}


def _send(system: System, met: Met, command: str) -> httpx.Response:
    match command:
        case "signal":
            return system.signal(met.run_id, "go", {"by": "test"})
        case "approve" | "reject":
            return system.decide(met.run_id, met.approval_id, command)
        case _:
            return system.control(met.run_id, command)


def test_the_table_is_whole() -> None:
    assert set(AFTER) == {status.value for status in RunStatus} - {"PENDING"} == set(REACH)


@pytest.mark.parametrize(("status", "command"), CASES, ids=[f"{status}-{command}" for status, command in CASES])
def test_command(system: System, tmp_path: Path, status: str, command: str) -> None:
    pipe = Pipe(tmp_path)
    met = REACH[status](system, str(pipe))
    system.wait_status(met.run_id, status)
    before = system.events(met.run_id)
    answer = _send(system, met, command)
    after = AFTER[status][command]
    if after is None:
        _refused(answer, system, met, status)
        assert system.events(met.run_id) == before, "a refused command leaves no trace"
        assert system.run(met.run_id)["status"] == status
    else:
        assert answer.is_success, answer.text
        system.wait_status(met.run_id, after)
        assert len(system.events(met.run_id)) > len(before)
    if system.run(met.run_id)["completedAt"] is None:
        ok(system.control(met.run_id, "cancel"))


def _refused(answer: httpx.Response, system: System, met: Met, status: str) -> None:
    assert answer.status_code == 409, answer.text
    problem = answer.json()
    assert problem["detail"]
    if answer.request.url.path.endswith(("/approve", "/reject")):
        (approval,) = system.approvals(met.run_id)
        assert problem["currentStatus"] == approval["status"]
        if approval["decisions"]:
            assert problem["decision"]["by"] == approval["decisions"][-1]["by"]
    else:
        assert problem["currentStatus"] == status
