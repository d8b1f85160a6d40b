"""Runs, steps, approvals and signals as rows.

The same functions make the rows that are stored and those that the doctor folds anew to compare.
"""

from __future__ import annotations

from typing import Any

import msgspec

from station.core.run import Approval, Run, Signal, Step

_encode = msgspec.json.Encoder().encode


def text(value: Any) -> str:
    """Give a JSON value as compact text."""
    return _encode(value).decode()


def text_or_none(value: Any) -> str | None:
    """Give a JSON value as compact text, and None as no text."""
    return None if value is None else _encode(value).decode()


RUN_COLUMNS = (
    "run_id", "workflow_id", "revision", "environment", "status", "seq", "error", "labels", "started_by",
    "created_at", "started_at", "completed_at", "deadline_at", "usage",
)  # fmt: skip


def run_row(run: Run) -> tuple[Any, ...]:
    """Give the row of a run, without its last hash."""
    return (
        run.run_id, run.workflow_id, run.version, run.environment, run.status, run.seq, text_or_none(run.error),
        text(run.labels), run.started_by, run.created_at, run.started_at, run.completed_at, run.deadline_at,
        text_or_none(run.usage),
    )  # fmt: skip


DOCUMENT_COLUMNS = ("run_id", "input", "context", "output")


def document_row(run: Run) -> tuple[Any, ...]:
    """Give what may be large of a run; context and output are stored when it ends."""
    ended = run.ended is not None
    return (
        run.run_id,
        text(run.input),
        text(run.context) if ended else None,
        text_or_none(run.output) if ended else None,
    )


STEP_COLUMNS = (
    "run_id", "entered_seq", "attempt", "step_id", "state_name", "state_type", "branch_path", "foreach_index",
    "visit", "action", "status", "input", "output", "error", "agent_run_id", "token", "runner", "signal",
    "entered_at", "started_at", "completed_at", "wake_at", "usage", "agent",
)  # fmt: skip


def step_row(run_id: str, step: Step) -> tuple[Any, ...]:
    """Give the row of an attempt."""
    scope = step.scope
    return (
        run_id, step.entered_seq, step.attempt, step.step_id, step.state_name, step.state_type, text(scope.path),
        scope.foreach_index, step.visit, step.action, step.status, text_or_none(step.input), step_output(step),
        text_or_none(step.error), step.agent_run_id, step.token, step.runner, step.signal, step.entered_at,
        step.started_at, step.completed_at, step.wake_at, text_or_none(step.usage), text_or_none(step.agent),
    )  # fmt: skip


def step_output(step: Step) -> str | None:
    """Give the stored output: present once the attempt has an outcome that gave one (which may be null)."""
    if step.output is None and step.status != "SUCCEEDED":
        return None
    return text(step.output)


APPROVAL_COLUMNS = (
    "approval_id", "run_id", "step_id", "workflow_id", "state_name", "message", "summary", "summary_digest",
    "approvers", "quorum", "allow_self_approval", "started_by", "status", "decisions", "requested_at",
    "deadline_at", "decided_at",
)  # fmt: skip


def approval_row(run: Run, approval: Approval) -> tuple[Any, ...]:
    """Give the row of an approval."""
    return (
        approval.approval_id, run.run_id, approval.step.step_id, run.workflow_id, approval.step.state_name,
        approval.message, text(approval.summary), approval.summary_digest, text(approval.approvers),
        approval.quorum, int(approval.allow_self_approval), run.started_by, approval.status,
        text(approval.decisions), approval.requested_at, approval.deadline_at, approval.decided_at,
    )  # fmt: skip


SIGNAL_COLUMNS = ("run_id", "received_seq", "signal_id", "name", "payload", "received_at", "consumed_by")


def signal_row(run_id: str, signal: Signal) -> tuple[Any, ...]:
    """Give the row of a signal."""
    return (
        run_id,
        signal.received_seq,
        signal.signal_id,
        signal.name,
        text(signal.payload),
        signal.received_at,
        signal.consumed_by,
    )
