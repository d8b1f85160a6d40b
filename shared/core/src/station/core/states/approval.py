"""``human.approval``: a question to people, decided once, by compare-and-set, on what was shown."""

from __future__ import annotations

from typing import Any

import msgspec

from station.contracts.actions import ApprovalOutput, HumanApprovalInput
from station.contracts.approvals import ApprovalTask
from station.contracts.errors import ErrorType, StepError
from station.contracts.events import (
    ApprovalApproved,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalTimedOut,
    RunCancelled,
    StepCancelled,
    StepTimedOut,
)
from station.contracts.statuses import StepStatus
from station.core.context import MissingPathError
from station.core.definition import Operation
from station.core.identity import approval_id, digest
from station.core.instants import to_text
from station.core.messages import DecideApproval
from station.core.outcomes import advance, does_not_fit, fail, leave, result_path, succeed
from station.core.paths import PathError, parse_path
from station.core.plain import plain_json
from station.core.run import Approval, Step
from station.core.states.arrival import Arrival
from station.core.tasks import smaller
from station.core.turn import Turn


def ask(turn: Turn, arrival: Arrival, step: Step, wanted: HumanApprovalInput, state: Operation) -> None:
    """Open the approval: the question, what is shown with it, who may answer and until when."""
    problem = _unanswerable(step, wanted)
    if problem is not None:
        message = f"input of state {state.name!r} for {state.action}: {problem}"
        fail(turn, step, StepError(type=ErrorType.VALIDATION, message=message, retryable=False))
        return
    try:
        summary = arrival.snapshot(parse_path(wanted.summary_path)) if wanted.summary_path is not None else None
    except (MissingPathError, PathError) as problem:
        message = f"summaryPath of state {state.name!r}: {problem}"
        fail(turn, step, StepError(type=ErrorType.VALIDATION, message=message, retryable=False))
        return
    seconds = smaller(wanted.timeout_seconds, state.timeout_seconds)
    deadline = None if seconds is None else turn.now + round(seconds * 1000)
    identity = approval_id(step.step_id, turn.now)
    turn.emit(
        ApprovalRequested(
            approval_id=identity,
            message=wanted.message,
            summary=summary,
            summary_digest=digest([wanted.message, summary]),
            approvers=wanted.approvers,
            quorum=wanted.quorum,
            allow_self_approval=wanted.allow_self_approval is not False,
            deadline_at=deadline,
        ),
        step.step_id,
    )
    turn.decision.asks.append(
        ApprovalTask(
            approval_id=identity,
            run_id=turn.run.run_id,
            step_id=step.step_id,
            workflow_id=turn.run.workflow_id,
            message=wanted.message,
            approvers=wanted.approvers,
            deadline_at=deadline,
        )
    )


def decide(turn: Turn, message: DecideApproval) -> None:
    """Take one person's word, if the approval is open, in time, and about what that person was shown."""
    approval = find(turn, message.approval_id)
    if approval is None:
        turn.refuse("approval_closed", f"approval {message.approval_id} is no longer open")
        return
    if _refused(turn, approval, message):
        return
    if not message.approve:
        turn.emit(
            ApprovalRejected(approval_id=approval.approval_id, by=message.by, comment=message.comment),
            approval.step.step_id,
            message.by,
        )
        _rejected(turn, approval, message)
        return
    decisive = sum(decision.decision == "approve" for decision in approval.decisions) + 1 >= approval.quorum
    turn.emit(
        ApprovalApproved(approval_id=approval.approval_id, by=message.by, comment=message.comment, decisive=decisive),
        approval.step.step_id,
        message.by,
    )
    if decisive:
        succeed(turn, approval.step, _output(turn, message, approved=True), actor=message.by)


def time_out(turn: Turn, step: Step) -> None:
    """Nobody decided in time."""
    approval = step.approval
    if approval is None:
        return
    turn.emit(ApprovalTimedOut(approval_id=approval.approval_id), step.step_id)
    error = StepError(type=ErrorType.TIMEOUT, message="nobody decided before the deadline", retryable=False)
    target = _wanted(step).on_timeout
    if target == "fail":
        fail(turn, step, error, timed_out=True)
        return
    output = msgspec.to_builtins(ApprovalOutput(approved=False, decided_by=None, comment=None, decided_at=None))
    problem = does_not_fit(turn, step, *plain_json(output))
    if problem is not None:
        fail(turn, step, problem)
        return
    turn.emit(StepTimedOut(attempt=step.attempt, error=error, output=output), step.step_id)
    advance_timed_out(turn, step)


def advance_timed_out(turn: Turn, step: Step) -> None:
    """Go where ``onTimeout`` says, from a deadline that is recorded."""
    target = _wanted(step).on_timeout
    if target == "fail":
        advance(turn, step)
    elif not turn.run.paused:
        _leave_decided(turn, step, target, step.error)


def advance_cancelled(turn: Turn, step: Step) -> None:
    """Go where ``onReject`` says, from a no that is recorded."""
    if turn.run.paused:
        return
    target = _wanted(step).on_reject
    if target != "cancel":
        _leave_decided(turn, step, target, None)
        return
    reason = _reason(step)
    turn.agenda.clear()
    turn.close_open_steps(reason)
    turn.emit(RunCancelled(reason=reason), actor=step.approval.decisions[-1].by if step.approval else None)


def find(turn: Turn, identity: str) -> Approval | None:
    """Give an open approval by its id."""
    for step in turn.run.open.values():
        approval = step.approval
        if approval is not None and approval.approval_id == identity and step.status is StepStatus.WAITING_APPROVAL:
            return approval
    return None


def _unanswerable(step: Step, wanted: HumanApprovalInput) -> str | None:
    """Say what templates made of a question that loading would have refused: it must not fall open."""
    if "approvers" in step.input and not wanted.approvers:
        return "approvers is an empty list, with which anybody could decide; leave it out if that is meant"
    if wanted.quorum < 1:
        return f"quorum must be at least 1, not {wanted.quorum}"
    people = {name.removeprefix("user:") for name in wanted.approvers}
    teams = any(name.startswith("team:") for name in people)
    if people and not teams and wanted.quorum > len(people):
        return f"a quorum of {wanted.quorum} can never be reached by {len(people)} approvers"
    return None


def _refused(turn: Turn, approval: Approval, message: DecideApproval) -> bool:
    if approval.deadline_at is not None and turn.now >= approval.deadline_at:
        turn.refuse("deadline_passed", f"the deadline passed at {to_text(approval.deadline_at)}")
    elif message.summary_digest is not None and message.summary_digest != approval.summary_digest:
        turn.refuse(
            "digest_mismatch",
            "what was shown is not what stands now: read the approval again and decide on that",
            summaryDigest=approval.summary_digest,
        )
    elif any(decision.by == message.by for decision in approval.decisions):
        turn.refuse("already_decided_by_you", f"{message.by} has decided already; {approval.quorum} people must")
    else:
        return False
    return True


def _rejected(turn: Turn, approval: Approval, message: DecideApproval) -> None:
    step, reason = approval.step, _reason(approval.step)
    target = _wanted(step).on_reject
    if target == "fail":
        fail(turn, step, StepError(type=ErrorType.CANCELLED, message=reason, retryable=False), actor=message.by)
        return
    output = _output(turn, message, approved=False)
    problem = does_not_fit(turn, step, *plain_json(output)) if target != "cancel" else None
    if problem is not None:
        fail(turn, step, problem, actor=message.by)
        return
    turn.emit(StepCancelled(attempt=step.attempt, reason=reason, output=output), step.step_id, message.by)
    advance_cancelled(turn, step)


def _reason(step: Step) -> str:
    last = step.approval.decisions[-1] if step.approval and step.approval.decisions else None
    if last is None:
        return "rejected"
    return f"rejected by {last.by}" + (f": {last.comment}" if last.comment else "")


def _leave_decided(turn: Turn, step: Step, target: str, error: StepError | None) -> None:
    path = result_path(step, turn.state_of(step))
    leave(turn, step, step.status, next_state=target, result_path=path, error=error)


def _output(turn: Turn, message: DecideApproval, *, approved: bool) -> Any:
    return msgspec.to_builtins(
        ApprovalOutput(approved=approved, decided_by=message.by, comment=message.comment, decided_at=to_text(turn.now))
    )


def _wanted(step: Step) -> HumanApprovalInput:
    return msgspec.convert(step.input, HumanApprovalInput)
