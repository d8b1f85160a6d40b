"""What is said to somebody whose request cannot be carried out: code, HTTP status, and what to do."""

from __future__ import annotations

from typing import Any

from station.contracts.problems import Problem
from station.core.decision import Refusal
from station.runtime.errors import Refused
from station.runtime.rpc import refuse
from station.scheduler.engine.engine import NotStored


def of(refusal: Refusal) -> Refused:
    """Pass on what the core refuses."""
    return refuse(refusal.status, refusal.code, refusal.detail, **refusal.context)


def run_not_found(run_id: str) -> Refused:
    """No such run."""
    return refuse(404, "run_not_found", f"There is no run {run_id!r}.")


def workflow_not_found(workflow_id: str) -> Refused:
    """No such workflow."""
    return refuse(404, "workflow_not_found", f"There is no workflow {workflow_id!r}. Create it first.")


def version_not_found(workflow_id: str, version: int) -> Refused:
    """No such revision."""
    return refuse(404, "version_not_found", f"Workflow {workflow_id!r} has no version {version}.")


def approval_not_found(approval_id: str) -> Refused:
    """No such approval."""
    return refuse(404, "approval_not_found", f"There is no approval {approval_id!r} of that run.")


def invalid(code: str, detail: str, errors: tuple[Problem, ...] = ()) -> Refused:
    """What was sent cannot be accepted as it is."""
    return refuse(400, code, detail, errors)


def not_stored(failure: NotStored) -> Refused:
    """The store is in trouble; the request may be sent again."""
    return refuse(503, "store_unavailable", str(failure))


def bad_cursor(cursor: Any) -> Refused:
    """A cursor that no answer of ours carried."""
    return invalid("cursor_invalid", f"{cursor!r} is not a cursor; pass nextCursor of the previous page, or none.")
