"""One example of every message about approvals."""

import msgspec

from station.contracts.approvals import (
    ApprovalPage,
    ApprovalTask,
    ApprovalView,
    Decide,
    DecideApproval,
    Decision,
    GetApproval,
    ListApprovals,
    Principal,
)
from station.contracts.statuses import ApprovalStatus

DIGEST = "a1" * 32
BOB = Principal(user="bob", teams=("sre", "payments"), auth="header")
VIEW = ApprovalView(
    id="appr_01jz2",
    run_id="run_01jz0",
    step_id="askPerson-77aa",
    workflow_id="incident-triage",
    state_name="askPerson",
    message="Restart checkout?",
    summary={"errorRate": 0.07},
    summary_digest=DIGEST,
    approvers=("team:sre", "user:bob"),
    quorum=2,
    allow_self_approval=False,
    started_by="user:alice",
    status=ApprovalStatus.APPROVED,
    decisions=(Decision(by="user:bob", decision="approve", comment="go", at="2026-01-02T03:04:05.678Z"),),
    requested_at="2026-01-02T03:00:00.000Z",
    deadline_at="2026-01-02T04:00:00.000Z",
)

EXAMPLES: tuple[msgspec.Struct, ...] = (
    ApprovalTask(
        approval_id="appr_01jz2",
        run_id="run_01jz0",
        step_id="askPerson-77aa",
        workflow_id="incident-triage",
        message="Restart checkout?",
        approvers=("team:sre",),
        deadline_at=1767326645678,
    ),
    ListApprovals(run_id="run_01jz0", status="PENDING", mine=True, principal=BOB, limit=20, cursor="Y3Vyc29y"),
    GetApproval(run_id="run_01jz0", approval_id="appr_01jz2"),
    Decide(
        run_id="run_01jz0",
        approval_id="appr_01jz2",
        decision="reject",
        principal=BOB,
        comment="wait",
        summary_digest=DIGEST,
        idempotency_key="key-1",
    ),
    DecideApproval(
        run_id="run_01jz0",
        approval_id="appr_01jz2",
        decision="approve",
        by="user:bob",
        comment="go",
        summary_digest=DIGEST,
        idempotency_key="key-1",
    ),
    VIEW,
    ApprovalPage(items=(VIEW,), next_cursor="Y3Vyc29y", total=21),
)
