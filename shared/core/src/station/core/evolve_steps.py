"""How the attempts of a step and its approval change a run."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from station.contracts import events as facts
from station.contracts.events import Event
from station.contracts.statuses import ApprovalStatus, StepStatus
from station.contracts.usage import Usage
from station.core.run import Approval, Children, Closed, Decided, Run, Step
from station.core.spending import total
from station.core.tally import tally


def step_started(run: Run, event: Event, data: facts.StepStarted) -> None:
    """An attempt is under way; an agent's fencing token is the seq of this event."""
    step = run.open[event.step_id or ""]
    tally(run, step, -1)
    step.status = StepStatus.RUNNING
    step.started_at = event.at
    step.wake_at = data.wake_at
    step.signal = data.signal
    step.runner = data.runner
    step.assigned = data.assigned
    step.agent_run_id = data.agent_run_id
    step.token = event.seq if data.runner is not None else None
    tally(run, step, 1)
    touch(run, step)


def step_succeeded(run: Run, event: Event, data: facts.StepSucceeded) -> None:
    """An attempt gave its output."""
    step = run.open[event.step_id or ""]
    tally(run, step, -1)
    step.output = data.output
    step.reported = _is_runner(event.actor)
    _use(run, step, data)
    finish(run, step, event.at, StepStatus.SUCCEEDED)


def step_failed(run: Run, event: Event, data: facts.StepFailed) -> None:
    """An attempt failed."""
    _fail(run, event, data, StepStatus.FAILED)


def step_timed_out(run: Run, event: Event, data: facts.StepTimedOut) -> None:
    """An attempt ran out of time."""
    _fail(run, event, data, StepStatus.TIMED_OUT)


def _fail(run: Run, event: Event, data: facts.StepFailed | facts.StepTimedOut, status: StepStatus) -> None:
    step = run.open[event.step_id or ""]
    tally(run, step, -1)
    step.error = data.error
    step.reported = _is_runner(event.actor)
    _use(run, step, data)
    if data.output is not UNSET:
        step.output = data.output
    elif step.children is not None:
        step.output = joined(step.children)
    finish(run, step, event.at, status)


def _is_runner(actor: str) -> bool:
    return actor.startswith("runner:")


def step_cancelled(run: Run, event: Event, data: facts.StepCancelled) -> None:
    """An attempt was stopped; an approval it asked for is closed."""
    step = run.open[event.step_id or ""]
    tally(run, step, -1)
    _use(run, step, data)
    if data.output is not UNSET:
        step.output = data.output
    if step.children is not None:
        step.output = joined(step.children)
    finish(run, step, event.at, StepStatus.CANCELLED)
    approval = step.approval
    if approval is not None and approval.status is ApprovalStatus.PENDING:
        approval.status = ApprovalStatus.CANCELLED
        approval.decided_at = event.at
        run.changes.approvals[approval.approval_id] = approval
    run.closed[step.step_id] = Closed(step.attempt, step.token, step.reported)


def step_retry_scheduled(run: Run, event: Event, data: facts.StepRetryScheduled) -> None:
    """The next attempt takes the failed one's place."""
    failed = run.open[event.step_id or ""]
    run.closed[failed.step_id] = Closed(failed.attempt, failed.token, failed.reported)
    step = Step(
        step_id=failed.step_id,
        attempt=data.attempt,
        entered_seq=failed.entered_seq,
        state_name=failed.state_name,
        state_type=failed.state_type,
        scope=failed.scope,
        visit=failed.visit,
        action=failed.action,
        status=StepStatus.PENDING,
        input=failed.input,
        entered_at=event.at,
        state_entered_at=failed.state_entered_at,
        wake_at=data.wake_at if data.wake_at > event.at else None,
        spent=total(failed.spent, failed.usage),
    )
    run.open[step.step_id] = step.scope.current = step
    tally(run, step, 1)
    touch(run, step)


def step_redispatched(run: Run, event: Event, data: facts.StepRedispatched) -> None:
    """The attempt goes back to the queue; its token is void."""
    step = run.open[event.step_id or ""]
    if data.usage is not None:
        run.late.add((step.step_id, step.token or 0))
        _count(run, step, data.usage)
    step.status = StepStatus.PENDING
    step.token = step.runner = step.agent_run_id = step.started_at = step.wake_at = None
    touch(run, step)


def approval_requested(run: Run, event: Event, data: facts.ApprovalRequested) -> None:
    """A person is asked."""
    step = run.open[event.step_id or ""]
    tally(run, step, -1)
    step.status = StepStatus.WAITING_APPROVAL
    step.started_at = event.at
    step.wake_at = data.deadline_at
    step.approval = Approval(
        approval_id=data.approval_id,
        step=step,
        message=data.message,
        summary=data.summary,
        summary_digest=data.summary_digest,
        approvers=data.approvers,
        quorum=data.quorum,
        allow_self_approval=data.allow_self_approval,
        requested_at=event.at,
        deadline_at=data.deadline_at,
    )
    tally(run, step, 1)
    touch(run, step)
    run.changes.approvals[data.approval_id] = step.approval


def approval_approved(run: Run, event: Event, data: facts.ApprovalApproved) -> None:
    """Somebody said yes."""
    _decided(run, event, data, ApprovalStatus.APPROVED if data.decisive else None, "approve")


def approval_rejected(run: Run, event: Event, data: facts.ApprovalRejected) -> None:
    """Somebody said no."""
    _decided(run, event, data, ApprovalStatus.REJECTED, "reject")


def _decided(
    run: Run,
    event: Event,
    data: facts.ApprovalApproved | facts.ApprovalRejected,
    status: ApprovalStatus | None,
    decision: str,
) -> None:
    approval = _approval(run, event)
    approval.decisions += (Decided(by=data.by, decision=decision, comment=data.comment, at=event.at),)
    if status is not None:
        approval.status = status
        approval.decided_at = event.at


def approval_timed_out(run: Run, event: Event, _: facts.ApprovalTimedOut) -> None:
    """Nobody answered in time."""
    approval = _approval(run, event)
    approval.status = ApprovalStatus.TIMED_OUT
    approval.decided_at = event.at


def _approval(run: Run, event: Event) -> Approval:
    approval = run.open[event.step_id or ""].approval
    if approval is None:
        message = f"step {event.step_id} of run {run.run_id} asks for no approval"
        raise ValueError(message)
    run.changes.approvals[approval.approval_id] = approval
    return approval


def joined(children: Children) -> Any:
    """What a container gives: every branch by name, or every item in order (null for one without a result)."""
    results = children.results
    if children.keys is None:
        return [results.get(index) for index in range(children.total)]
    return {key: results[key] for key in children.keys if key in results}


def late_result_ignored(run: Run, event: Event, data: facts.LateResultIgnored) -> None:
    """A result changes nothing any more; but what it has cost is counted, once."""
    mark = (event.step_id or "", data.token)
    if data.usage is not None and mark not in run.late:
        run.late.add(mark)
        run.usage = total(run.usage, data.usage)


def _use(
    run: Run, step: Step, data: facts.StepSucceeded | facts.StepFailed | facts.StepTimedOut | facts.StepCancelled
) -> None:
    step.agent = data.agent or step.agent
    _count(run, step, data.usage)


def _count(run: Run, step: Step, usage: Usage | None) -> None:
    if usage is not None:
        step.usage = total(step.usage, usage)
        run.usage = total(run.usage, usage)


def finish(run: Run, step: Step, at: int, status: StepStatus) -> None:
    """Put a final status on an attempt."""
    step.status = status
    step.completed_at = at
    step.wake_at = None
    touch(run, step)


def touch(run: Run, step: Step) -> None:
    """Mark an attempt as changed."""
    run.changes.steps[step.entered_seq, step.attempt] = step
