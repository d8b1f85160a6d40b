"""What approval-service asks of the scheduler. A scheduler that does not answer is a refusal that says so (503)."""

from typing import TypeVar

from station.contracts import subjects
from station.contracts.approvals import ApprovalPage, ApprovalView, DecideApproval, GetApproval, ListApprovals
from station.contracts.headers import TRACEPARENT
from station.contracts.health import GetHealth, Health
from station.contracts.wire import Wire
from station.runtime.bus import Bus, Unavailable
from station.runtime.rpc import refuse

T = TypeVar("T")


class SchedulerClient:
    """The scheduler behind the bus. Every method raises Refused: with the scheduler's own refusal, or 503."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def approvals(self, query: ListApprovals, traceparent: str | None = None) -> ApprovalPage:
        """Approvals of one run or across runs."""
        return await self._ask(subjects.QUERY_APPROVALS, query, ApprovalPage, traceparent)

    async def approval(self, run_id: str, approval_id: str, traceparent: str | None = None) -> ApprovalView:
        """One approval as it stands."""
        query = GetApproval(run_id=run_id, approval_id=approval_id)
        return await self._ask(subjects.QUERY_APPROVAL, query, ApprovalView, traceparent)

    async def decide(self, command: DecideApproval, traceparent: str | None = None) -> ApprovalView:
        """Decide by compare-and-set; the approval as it stands afterwards."""
        return await self._ask(subjects.APPROVAL_DECIDE, command, ApprovalView, traceparent)

    async def health(self) -> Health:
        """How the scheduler is."""
        return await self._ask(subjects.QUERY_HEALTH, GetHealth(), Health, None)

    async def _ask(self, subject: str, message: Wire, answer: type[T], traceparent: str | None) -> T:
        headers = {TRACEPARENT: traceparent} if traceparent else None
        try:
            return await self._bus.request(subject, message, answer, headers=headers)
        except Unavailable as error:
            detail = f"the scheduler did not answer ({error.detail}); try again, with the same idempotency key"
            raise refuse(503, "scheduler_unavailable", detail) from error
