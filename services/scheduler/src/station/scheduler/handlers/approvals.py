"""Decisions on approvals: taken once, by compare-and-set. Who may decide is approval-service's business."""

from __future__ import annotations

import msgspec

from station.contracts.approvals import (
    ApprovalPage,
    ApprovalView,
    DecideApproval,
    GetApproval,
    ListApprovals,
)
from station.core import messages
from station.core.run import Approval, Run
from station.runtime.bus import Bus
from station.runtime.errors import Refused
from station.runtime.rpc import RpcContext, refuse
from station.scheduler.engine.engine import Also, Engine
from station.scheduler.engine.runs import Slot
from station.scheduler.handlers import inbox, paging, refusals
from station.scheduler.handlers.idempotency import Idempotency
from station.scheduler.handlers.runs import slot_of, submit
from station.scheduler.handlers.views import APPROVAL_COLUMNS, approval_in_memory, approval_view
from station.scheduler.store.reader import Reader

_ONE = f"SELECT {APPROVAL_COLUMNS} FROM workflow_approvals WHERE approval_id = ? AND run_id = ?"  # noqa: S608 - our own names
_RUN_EXISTS = "SELECT 1 FROM workflow_runs WHERE run_id = ?"


class Approvals:
    """Decides and shows approvals."""

    def __init__(self, engine: Engine, reader: Reader, idempotency: Idempotency, bus: Bus) -> None:
        self._engine = engine
        self._reader = reader
        self._idempotency = idempotency
        self._bus = bus

    async def decide(self, request: DecideApproval, _: RpcContext) -> ApprovalView:
        """Take a decision."""
        held: list[Approval] = []

        def view(slot: Slot) -> ApprovalView:
            return approval_in_memory(slot.run, held[0])

        async def perform(also: Also | None) -> ApprovalView:
            slot = await slot_of(self._engine, request.run_id)
            approval = _open(slot.run, request.approval_id)
            if approval is None:
                raise await self._closed(request)
            held.append(approval)
            message = messages.DecideApproval(
                approval_id=request.approval_id,
                by=request.by,
                approve=request.decision == "approve",
                comment=request.comment,
                summary_digest=request.summary_digest,
            )
            try:
                await submit(self._engine, request.run_id, message, also)
            except Refused as error:
                # Decided by somebody else at the same moment: say by whom.
                raise (await self._closed(request) if error.failure.code == "approval_closed" else error) from None
            return view(slot)

        return await self._idempotency.once(
            principal=request.by,
            key=request.idempotency_key,
            request=request,
            answer_type=ApprovalView,
            view=view,
            perform=perform,
        )

    async def get(self, request: GetApproval, _: RpcContext) -> ApprovalView:
        """Show one approval."""
        row = await self._reader.row(_ONE, (request.approval_id, request.run_id))
        if row is None:
            raise refusals.approval_not_found(request.approval_id)
        return approval_view(row)

    async def page(self, request: ListApprovals, _: RpcContext) -> ApprovalPage:
        """Show approvals, newest first: of one run, or across runs."""
        if request.run_id is not None and await self._reader.row(_RUN_EXISTS, (request.run_id,)) is None:
            raise refusals.run_not_found(request.run_id)
        rows, total = await inbox.page(self._reader, request)
        shown = paging.fitting(rows[: request.limit], (5, 6, 8, 13), self._bus)
        return ApprovalPage(
            items=tuple(approval_view(row) for row in shown),
            next_cursor=shown[-1][0] if len(rows) > len(shown) else None,
            total=total,
        )

    async def _closed(self, request: DecideApproval) -> Refused:
        """Say why an approval that is not open takes no decision: with the one that stands."""
        await self._engine.writer.barrier()
        row = await self._reader.row(_ONE, (request.approval_id, request.run_id))
        if row is None:
            return refusals.approval_not_found(request.approval_id)
        stored = approval_view(row)
        status = str(stored.status)
        if stored.decisions and status in ("APPROVED", "REJECTED"):
            last = stored.decisions[-1]
            detail = f"It is {status} already, by {last.by} at {last.at}."
            return refuse(409, "approval_decided", detail, status=status, decision=msgspec.to_builtins(last))
        return refuse(409, "approval_closed", f"It is {status}: nobody can decide it any more.", status=status)


def _open(run: Run, approval_id: str) -> Approval | None:
    for step in run.open.values():
        approval = step.approval
        if approval is not None and approval.approval_id == approval_id and approval.status == "PENDING":
            return approval
    return None
