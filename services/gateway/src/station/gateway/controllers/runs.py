"""Runs: starting, watching and steering them."""

from typing import Annotated

from litestar import Controller, Response, get, post
from litestar.params import FromQuery, JSONBody, QueryParameter

from station.contracts import subjects
from station.contracts.runs import (
    ControlRun,
    EventPage,
    GetRun,
    ListEvents,
    ListRuns,
    ListSteps,
    RunPage,
    RunView,
    SignalAccepted,
    SignalRun,
    StartRun,
    StepPage,
)
from station.contracts.statuses import RunStatus
from station.gateway.answers import KEY_HEADER, created, keyed, passed_on
from station.gateway.bodies import ReasonBody, SignalBody, StartRunBody
from station.gateway.clients import RpcClient
from station.gateway.identity import Caller
from station.gateway.injected import Asker, Id
from station.gateway.parameters import (
    LARGEST_SEQ,
    Cursor,
    EventCursor,
    EventType,
    IdempotencyKey,
    Labels,
    Limit,
    Traceparent,
    key_or_new,
    labels_of,
    position,
    traceparent_or_none,
)
from station.gateway.problem_document import IDEMPOTENCY_HEADER, problems
from station.gateway.requests import StrictRequest

_CHANGES = problems(404, 409, 413, 415, 422)


class Runs(Controller):
    path = "/workflow-runs"
    tags = ["Runs"]

    @post(
        "/",
        operation_id="startRun",
        summary="Start a run",
        response_headers=[IDEMPOTENCY_HEADER],
        responses=_CHANGES,
    )
    async def start(
        self,
        *,
        data: JSONBody[StartRunBody],
        request: StrictRequest,
        caller: Asker,
        idempotency_key: IdempotencyKey = None,
        traceparent: Traceparent = None,
    ) -> Response[RunView]:
        key, trace = key_or_new(idempotency_key), traceparent_or_none(traceparent)
        command = StartRun(
            workflow_id=data.workflow_id,
            version=data.version,
            input=data.input,
            environment=data.environment,
            labels=data.labels,
            run_id=data.run_id,
            actor=caller.actor,
            idempotency_key=key,
            traceparent=trace,
        )
        answer = await request.services.command(subjects.RUN_START, command, key=key, traceparent=trace)
        return created(answer, "/api/v1/workflow-runs", {KEY_HEADER: key})

    @get("/", operation_id="listRuns", summary="List runs, newest first", responses=problems())
    async def list_runs(
        self,
        *,
        request: StrictRequest,
        workflow_id: Annotated[str | None, QueryParameter(name="workflowId", max_length=256)] = None,
        status: FromQuery[RunStatus | None] = None,
        label: Labels = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response[RunPage]:
        labels = labels_of(label)
        if labels is None:
            return Response(RunPage(items=(), next_cursor=None, total=0))
        question = ListRuns(workflow_id=workflow_id, status=status, labels=labels, limit=limit, cursor=cursor)
        return passed_on(await request.services.query(subjects.QUERY_RUNS, question))

    @get("/{run_id:str}", operation_id="getRun", summary="Show a run", responses=problems(404))
    async def show(self, run_id: Id, request: StrictRequest) -> Response[RunView]:
        return passed_on(await request.services.query(subjects.QUERY_RUN, GetRun(run_id=run_id)))

    @get(
        "/{run_id:str}/steps",
        operation_id="listSteps",
        summary="List the steps of a run, every attempt",
        responses=problems(404),
    )
    async def steps(
        self, *, run_id: Id, request: StrictRequest, limit: Limit = 200, cursor: Cursor = None
    ) -> Response[StepPage]:
        question = ListSteps(run_id=run_id, limit=limit, cursor=cursor)
        return passed_on(await request.services.query(subjects.QUERY_STEPS, question))

    @get(
        "/{run_id:str}/events",
        operation_id="listEvents",
        summary="List the events of a run, in order",
        responses=problems(404),
    )
    async def events(
        self,
        *,
        run_id: Id,
        request: StrictRequest,
        after: Annotated[int, QueryParameter(ge=0, le=LARGEST_SEQ, description="Only events with a larger `seq`.")] = 0,
        event_type: EventType = None,
        limit: Limit = 200,
        cursor: EventCursor = None,
    ) -> Response[EventPage]:
        question = ListEvents(run_id=run_id, after=position(cursor, after), limit=limit, type=event_type)
        return passed_on(await request.services.query(subjects.QUERY_EVENTS, question))

    @post(
        "/{run_id:str}/pause",
        operation_id="pauseRun",
        summary="Dispatch nothing new",
        status_code=200,
        response_headers=[IDEMPOTENCY_HEADER],
        responses=_CHANGES,
    )
    async def pause(
        self,
        *,
        run_id: Id,
        request: StrictRequest,
        caller: Asker,
        data: JSONBody[ReasonBody | None] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response[RunView]:
        return await _control(
            request.services, subjects.RUN_PAUSE, run_id=run_id, data=data, caller=caller, sent_key=idempotency_key
        )

    @post(
        "/{run_id:str}/resume",
        operation_id="resumeRun",
        summary="Go on from where it was paused",
        status_code=200,
        response_headers=[IDEMPOTENCY_HEADER],
        responses=_CHANGES,
    )
    async def resume(
        self,
        *,
        run_id: Id,
        request: StrictRequest,
        caller: Asker,
        data: JSONBody[ReasonBody | None] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response[RunView]:
        return await _control(
            request.services, subjects.RUN_RESUME, run_id=run_id, data=data, caller=caller, sent_key=idempotency_key
        )

    @post(
        "/{run_id:str}/cancel",
        operation_id="cancelRun",
        summary="End a run now",
        status_code=200,
        response_headers=[IDEMPOTENCY_HEADER],
        responses=_CHANGES,
    )
    async def cancel(
        self,
        *,
        run_id: Id,
        request: StrictRequest,
        caller: Asker,
        data: JSONBody[ReasonBody | None] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response[RunView]:
        return await _control(
            request.services, subjects.RUN_CANCEL, run_id=run_id, data=data, caller=caller, sent_key=idempotency_key
        )

    @post(
        "/{run_id:str}/signals",
        operation_id="signalRun",
        summary="Deliver a signal",
        status_code=202,
        response_headers=[IDEMPOTENCY_HEADER],
        responses=_CHANGES,
    )
    async def signal(
        self,
        *,
        run_id: Id,
        data: JSONBody[SignalBody],
        request: StrictRequest,
        caller: Asker,
        idempotency_key: IdempotencyKey = None,
    ) -> Response[SignalAccepted]:
        key = key_or_new(idempotency_key)
        command = SignalRun(
            run_id=run_id, name=data.name, payload=data.payload, id=data.id, actor=caller.actor, idempotency_key=key
        )
        return keyed(await request.services.command(subjects.RUN_SIGNAL, command, key=key), key, status=202)


async def _control(
    services: RpcClient, subject: str, *, run_id: str, data: ReasonBody | None, caller: Caller, sent_key: str | None
) -> Response[RunView]:
    key = key_or_new(sent_key)
    command = ControlRun(run_id=run_id, reason=data.reason if data else None, actor=caller.actor, idempotency_key=key)
    return keyed(await services.command(subject, command, key=key), key)
