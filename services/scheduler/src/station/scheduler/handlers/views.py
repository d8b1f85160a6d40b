"""Runs, steps, events and approvals as the API shows them, from memory or from rows."""

from __future__ import annotations

from typing import Any

import msgspec

from station.contracts.approvals import ApprovalView, Decision
from station.contracts.errors import StepError
from station.contracts.events import PublishedEvent
from station.contracts.runs import RunSummary, RunView, StepView
from station.contracts.statuses import ApprovalStatus, RunStatus, StepStatus
from station.contracts.usage import AgentUse, Usage
from station.core.instants import to_text
from station.core.run import Approval, Run
from station.scheduler.handlers.waiting import OpenStep, current_states, open_steps, waiting_for
from station.scheduler.store.reader import Row

_decode = msgspec.json.decode


def instant(at: int | None) -> str | None:
    """Write an instant, or None."""
    return None if at is None else to_text(at)


def run_view(run: Run) -> RunView:
    """Show a run that is in memory."""
    steps = open_steps(run)
    return RunView(
        id=run.run_id,
        workflow_id=run.workflow_id,
        version=run.version,
        status=run.status,
        current_states=current_states(steps),
        error=run.error,
        environment=run.environment,
        labels=run.labels,
        started_by=run.started_by,
        created_at=to_text(run.created_at),
        started_at=instant(run.started_at),
        completed_at=instant(run.completed_at),
        deadline_at=instant(run.deadline_at),
        waiting_for=None if run.ended else waiting_for(run.status, steps),
        input=run.input,
        context=run.context,
        output=run.output,
        last_seq=run.seq,
        usage=run.usage,
    )


SUMMARY_COLUMNS = """r.run_id, r.workflow_id, r.revision, r.status, r.error, r.environment, r.labels, r.started_by,
r.created_at, r.started_at, r.completed_at, r.deadline_at"""


def run_facts(row: Row, steps: list[OpenStep]) -> dict[str, Any]:
    """Give the fields that a summary and a full view share, from a row of ``SUMMARY_COLUMNS``."""
    status = RunStatus(row[3])
    return {
        "id": row[0],
        "workflow_id": row[1],
        "version": row[2],
        "status": status,
        "current_states": current_states(steps),
        "error": None if row[4] is None else _decode(row[4], type=StepError),
        "environment": row[5],
        "labels": _decode(row[6]),
        "started_by": row[7],
        "created_at": to_text(row[8]),
        "started_at": instant(row[9]),
        "completed_at": instant(row[10]),
        "deadline_at": instant(row[11]),
        "waiting_for": None if row[10] is not None else waiting_for(status, steps),
    }


def run_summary(row: Row, steps: list[OpenStep]) -> RunSummary:
    """Show a run in a list."""
    return RunSummary(**run_facts(row, steps))


STEP_COLUMNS = """step_id, state_name, state_type, branch_path, foreach_index, visit, attempt, action, status, input,
output, error, agent_run_id, started_at, completed_at, wake_at, entered_seq, usage, agent"""


def step_view(row: Row) -> StepView:
    """Show an attempt from a row of ``STEP_COLUMNS``."""
    status, started, completed = StepStatus(row[8]), row[13], row[14]
    waits_for_retry = status is StepStatus.PENDING and row[15] is not None
    return StepView(
        step_id=row[0],
        state_name=row[1],
        state_type=row[2],
        branch_path=_decode(row[3]),
        foreach_index=row[4],
        visit=row[5],
        attempt=row[6],
        action=row[7],
        status=status,
        input=None if row[9] is None else _decode(row[9]),
        output=None if row[10] is None else _decode(row[10]),
        error=None if row[11] is None else _decode(row[11], type=StepError),
        agent_run_id=row[12],
        started_at=instant(started),
        completed_at=instant(completed),
        duration_ms=None if started is None or completed is None else max(0, completed - started),
        next_attempt_at=instant(row[15]) if waits_for_retry else None,
        usage=None if row[17] is None else _decode(row[17], type=Usage),
        agent=None if row[18] is None else _decode(row[18], type=AgentUse),
    )


def event_view(row: Row) -> PublishedEvent:
    """Show an event from a row of ``EVENT_COLUMNS``."""
    return PublishedEvent(
        run_id=row[0],
        seq=row[1],
        type=row[2],
        at=to_text(row[3]),
        step_id=row[4],
        actor=row[5],
        data=_decode(row[6]),
        hash=row[7],
    )


APPROVAL_COLUMNS = """approval_id, run_id, step_id, workflow_id, state_name, message, summary, summary_digest,
approvers, quorum, allow_self_approval, started_by, status, decisions, requested_at, deadline_at"""


def approval_view(row: Row) -> ApprovalView:
    """Show an approval from a row of ``APPROVAL_COLUMNS``."""
    return ApprovalView(
        id=row[0],
        run_id=row[1],
        step_id=row[2],
        workflow_id=row[3],
        state_name=row[4],
        message=row[5],
        summary=_decode(row[6]),
        summary_digest=row[7],
        approvers=tuple(_decode(row[8])),
        quorum=row[9],
        allow_self_approval=bool(row[10]),
        started_by=row[11],
        status=ApprovalStatus(row[12]),
        decisions=tuple(_decision(decision) for decision in _decode(row[13])),
        requested_at=to_text(row[14]),
        deadline_at=instant(row[15]),
    )


def approval_in_memory(run: Run, approval: Approval) -> ApprovalView:
    """Show an approval that is in memory."""
    return ApprovalView(
        id=approval.approval_id,
        run_id=run.run_id,
        step_id=approval.step.step_id,
        workflow_id=run.workflow_id,
        state_name=approval.step.state_name,
        message=approval.message,
        summary=approval.summary,
        summary_digest=approval.summary_digest,
        approvers=approval.approvers,
        quorum=approval.quorum,
        allow_self_approval=approval.allow_self_approval,
        started_by=run.started_by,
        status=approval.status,
        decisions=tuple(_decision(msgspec.to_builtins(decision)) for decision in approval.decisions),
        requested_at=to_text(approval.requested_at),
        deadline_at=instant(approval.deadline_at),
    )


def _decision(stored: dict[str, Any]) -> Decision:
    return Decision(by=stored["by"], decision=stored["decision"], comment=stored["comment"], at=to_text(stored["at"]))
