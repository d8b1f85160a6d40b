"""Decisions on approvals: taken once, by compare-and-set. Who may decide is approval-service's business."""

from __future__ import annotations

import msgspec

from station.contracts.approvals import ApprovalPage, ApprovalView, DecideApproval, GetApproval, ListApprovals
from station.contracts.subjects import is_token
from station.core import messages
from station.core.run import Approval, Run
from station.runtime.errors import Refused
from station.runtime.rpc import RpcContext, refuse
from station.scheduler.engine.engine import Also, Engine
from station.scheduler.engine.runs import Slot
from station.scheduler.handlers import refusals
from station.scheduler.handlers.idempotency import Idempotency
from station.scheduler.handlers.runs import slot_of, submit
from station.scheduler.handlers.views import APPROVAL_COLUMNS, approval_in_memory, approval_view
from station.scheduler.store.reader import Reader

_ONE = f"SELECT {APPROVAL_COLUMNS} FROM workflow_approvals WHERE approval_id = ? AND run_id = ?"  # noqa: S608 - our own names
_RUN_EXISTS = "SELECT 1 FROM workflow_runs WHERE run_id = ?"
_FILTER = """
(?1 IS NULL OR run_id = ?1) AND (?2 IS NULL OR status = ?2) AND (?3 IS NULL OR (
    (approvers = '[]' OR EXISTS (SELECT 1 FROM json_each(approvers) WHERE value IN (SELECT value FROM json_each(?3))))
    AND (allow_self_approval OR lower(started_by) <> lower('user:' || ?4))))
"""
_PAGE = f"""
SELECT {APPROVAL_COLUMNS} FROM workflow_approvals WHERE {_FILTER} AND (?5 IS NULL OR approval_id < ?5)
ORDER BY approval_id DESC LIMIT ?6
"""  # noqa: S608 - our own names
_TOTAL = f"SELECT count(*) FROM workflow_approvals WHERE {_FILTER}"  # noqa: S608 - our own names


class Approvals:
    """Decides and shows approvals."""

    def __init__(self, engine: Engine, reader: Reader, idempotency: Idempotency) -> None:
        self._engine = engine
        self._reader = reader
        self._idempotency = idempotency

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
            await submit(self._engine, request.run_id, message, also)
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
        if request.cursor is not None and not is_token(request.cursor):
            raise refusals.bad_cursor(request.cursor)
        user = request.principal.user if request.principal is not None else ""
        chosen = (request.run_id, request.status, _names(request), user)
        rows = await self._reader.rows(_PAGE, (*chosen, request.cursor, request.limit + 1))
        total = await self._reader.row(_TOTAL, chosen)
        shown = rows[: request.limit]
        return ApprovalPage(
            items=tuple(approval_view(row) for row in shown),
            next_cursor=shown[-1][0] if len(rows) > request.limit else None,
            total=total[0] if total else 0,
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


def _names(request: ListApprovals) -> str | None:
    """The entries of ``approvers`` that mean the principal, as JSON; None asks for everybody's."""
    if not request.mine or request.principal is None:
        return None
    user = request.principal.user
    names = [user, f"user:{user}", *(f"team:{team}" for team in request.principal.teams)]
    return msgspec.json.encode(names).decode()
