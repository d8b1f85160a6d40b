"""Approvals: the inbox across runs, those of one run, and people's decisions. All of it is approval-service's."""

from typing import Annotated, Literal

from litestar import Controller, Response, get, post
from litestar.params import FromQuery, JSONBody, QueryParameter

from station.contracts import subjects
from station.contracts.approvals import ApprovalPage, ApprovalView, Decide, ListApprovals
from station.contracts.statuses import ApprovalStatus
from station.gateway.answers import keyed, passed_on
from station.gateway.bodies import DecisionBody
from station.gateway.clients import RpcClient
from station.gateway.identity import Caller
from station.gateway.injected import Asker, Id
from station.gateway.parameters import Cursor, IdempotencyKey, Limit, key_or_new
from station.gateway.problem_document import IDEMPOTENCY_HEADER, problems
from station.gateway.requests import StrictRequest

_DECISION = problems(404, 409, 413, 415, 422)
Mine = Annotated[bool, QueryParameter(description="Only those that the caller may decide.")]


class Approvals(Controller):
    path = "/"
    tags = ["Approvals"]

    @get("/workflow-approvals", operation_id="listApprovals", summary="The inbox, across runs", responses=problems())
    async def inbox(
        self,
        *,
        request: StrictRequest,
        caller: Asker,
        status: FromQuery[ApprovalStatus | None] = None,
        mine: Mine = False,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response[ApprovalPage]:
        principal = caller.principal() if mine else None
        question = ListApprovals(status=status, mine=mine, principal=principal, limit=limit, cursor=cursor)
        return passed_on(await request.services.query(subjects.INBOX_LIST, question))

    @get(
        "/workflow-runs/{run_id:str}/approvals",
        operation_id="listRunApprovals",
        summary="List the approvals of a run",
        responses=problems(404),
    )
    async def of_run(
        self,
        *,
        run_id: Id,
        request: StrictRequest,
        status: FromQuery[ApprovalStatus | None] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response[ApprovalPage]:
        question = ListApprovals(run_id=run_id, status=status, limit=limit, cursor=cursor)
        return passed_on(await request.services.query(subjects.INBOX_LIST, question))

    @post(
        "/workflow-runs/{run_id:str}/approvals/{approval_id:str}/approve",
        operation_id="approve",
        summary="Say yes",
        status_code=200,
        response_headers=[IDEMPOTENCY_HEADER],
        responses=_DECISION,
    )
    async def approve(
        self,
        *,
        run_id: Id,
        approval_id: Id,
        request: StrictRequest,
        caller: Asker,
        data: JSONBody[DecisionBody | None] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response[ApprovalView]:
        return await _decide(
            request.services,
            decision="approve",
            ids=(run_id, approval_id),
            caller=caller,
            data=data,
            sent_key=idempotency_key,
        )

    @post(
        "/workflow-runs/{run_id:str}/approvals/{approval_id:str}/reject",
        operation_id="reject",
        summary="Say no",
        status_code=200,
        response_headers=[IDEMPOTENCY_HEADER],
        responses=_DECISION,
    )
    async def reject(
        self,
        *,
        run_id: Id,
        approval_id: Id,
        request: StrictRequest,
        caller: Asker,
        data: JSONBody[DecisionBody | None] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response[ApprovalView]:
        return await _decide(
            request.services,
            decision="reject",
            ids=(run_id, approval_id),
            caller=caller,
            data=data,
            sent_key=idempotency_key,
        )


async def _decide(
    services: RpcClient,
    *,
    decision: Literal["approve", "reject"],
    ids: tuple[str, str],
    caller: Caller,
    data: DecisionBody | None,
    sent_key: str | None,
) -> Response[ApprovalView]:
    key = key_or_new(sent_key)
    command = Decide(
        run_id=ids[0],
        approval_id=ids[1],
        decision=decision,
        principal=caller.principal(),
        comment=data.comment if data else None,
        summary_digest=data.summary_digest if data else None,
        idempotency_key=key,
    )
    return keyed(await services.command(subjects.INBOX_DECIDE, command, key=key), key)
