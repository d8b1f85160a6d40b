"""The inbox on the bus: lists what people are asked, and takes their decisions.

The rule: who may decide is judged here; whether there is still something to decide is judged by the scheduler alone.
"""

from station.approval_service.approvers import refusal
from station.approval_service.metrics import DECISIONS, REFUSALS
from station.approval_service.scheduler_client import SchedulerClient
from station.approval_service.settings import SERVICE
from station.contracts import subjects
from station.contracts.approvals import ApprovalPage, ApprovalView, Decide, DecideApproval, ListApprovals
from station.contracts.health import GetHealth, Health
from station.runtime.failpoints import hit
from station.runtime.logging import get_logger
from station.runtime.rpc import Endpoint, Refused, RpcContext

log = get_logger("approvals")


class Inbox:
    """Answers ``wf.rpc.inbox.*``."""

    def __init__(self, scheduler: SchedulerClient) -> None:
        self._scheduler = scheduler

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What to serve."""
        return (
            Endpoint(subjects.INBOX_LIST, ListApprovals, self.list),
            Endpoint(subjects.INBOX_DECIDE, Decide, self.decide),
            Endpoint(subjects.INBOX_HEALTH, GetHealth, self.health),
        )

    async def list(self, request: ListApprovals, context: RpcContext) -> ApprovalPage:
        """Approvals, of everybody or only those that the principal may decide."""
        return await self._scheduler.approvals(request, context.traceparent)

    async def decide(self, request: Decide, context: RpcContext) -> ApprovalView:
        """Take a decision: 403 by the approval's rules, 404 and 409 as the scheduler says."""
        try:
            approval = await self._decide(request, context.traceparent)
        except Refused as refused:
            REFUSALS.labels(refused.failure.code).inc()
            log.info(
                "decision_refused",
                run_id=request.run_id,
                approval_id=request.approval_id,
                user=request.principal.user,
                error_type=refused.failure.code,
            )
            raise
        DECISIONS.labels(request.decision).inc()
        log.info(
            "decision_taken",
            run_id=approval.run_id,
            step_id=approval.step_id,
            approval_id=approval.id,
            decision=request.decision,
            user=request.principal.user,
            status=approval.status.value,
        )
        return approval

    async def health(self, _request: GetHealth, _context: RpcContext) -> Health:
        """Ready when the scheduler answers."""
        try:
            await self._scheduler.health()
        except Refused as refused:
            return Health(service=SERVICE, ready=False, detail=refused.failure.detail)
        return Health(service=SERVICE, ready=True)

    async def _decide(self, request: Decide, traceparent: str | None) -> ApprovalView:
        approval = await self._scheduler.approval(request.run_id, request.approval_id, traceparent)
        failure = refusal(approval, request.principal)
        if failure is not None:
            raise Refused(failure)
        command = DecideApproval(
            run_id=request.run_id,
            approval_id=request.approval_id,
            decision=request.decision,
            by=f"user:{request.principal.user}",
            comment=request.comment,
            summary_digest=request.summary_digest,
            idempotency_key=request.idempotency_key,
        )
        hit("approval-service.before-decide")
        decided = await self._scheduler.decide(command, traceparent)
        hit("approval-service.after-decide")
        return decided
