"""Approvals: the task for approval-service, the inbox, and decisions."""

from typing import Any, Literal

from station.contracts.bounds import PageLimit
from station.contracts.statuses import ApprovalStatus
from station.contracts.wire import Wire


class ApprovalTask(Wire):
    """On ``wf.task.approval.<run>.<step>``: somebody is asked."""

    approval_id: str
    run_id: str
    step_id: str
    workflow_id: str
    message: str
    approvers: tuple[str, ...] = ()
    deadline_at: int | None = None


class Principal(Wire):
    """Who acts, as the edge established it."""

    user: str
    """Without the ``user:`` prefix."""
    teams: tuple[str, ...] = ()
    auth: str = "none"
    """How it was established; ``none`` is a header on a loopback gateway."""


class ListApprovals(Wire):
    """Across runs (the inbox) or of one run."""

    run_id: str | None = None
    status: str | None = None
    mine: bool = False
    """Only those that the principal may decide."""
    principal: Principal | None = None
    limit: PageLimit = 50
    cursor: str | None = None


class GetApproval(Wire):
    run_id: str
    approval_id: str


class Decide(Wire):
    """Asked of approval-service on ``wf.rpc.inbox.decide``."""

    run_id: str
    approval_id: str
    decision: Literal["approve", "reject"]
    principal: Principal
    comment: str | None = None
    summary_digest: str | None = None
    """What the person was shown; refused when it is not what stands now."""
    idempotency_key: str | None = None


class DecideApproval(Wire):
    """Asked of the scheduler by approval-service, which has checked who decides."""

    run_id: str
    approval_id: str
    decision: Literal["approve", "reject"]
    by: str
    """``user:alice``."""
    comment: str | None = None
    summary_digest: str | None = None
    idempotency_key: str | None = None


class Decision(Wire):
    by: str
    decision: Literal["approve", "reject"]
    comment: str | None
    at: str


class ApprovalView(Wire):
    id: str
    run_id: str
    step_id: str
    workflow_id: str
    state_name: str
    message: str
    summary: Any
    summary_digest: str
    approvers: tuple[str, ...]
    quorum: int
    allow_self_approval: bool
    started_by: str
    """Who started the run: may not decide where self-approval is off."""
    status: ApprovalStatus
    decisions: tuple[Decision, ...]
    requested_at: str
    deadline_at: str | None


class ApprovalPage(Wire):
    items: tuple[ApprovalView, ...]
    next_cursor: str | None
    total: int
