"""Definitions: what is stored, in which revisions, and whether new runs may start."""

from typing import Annotated

from litestar import Controller, Response, delete, get, post, put
from litestar.params import FromQuery, JSONBody, QueryParameter, RawBody

from station.contracts import subjects
from station.contracts.statuses import WorkflowStatus
from station.contracts.workflows import (
    CreateWorkflow,
    DeleteWorkflow,
    GetWorkflow,
    ListVersions,
    ListWorkflows,
    RollbackWorkflow,
    SetWorkflowStatus,
    UpdateWorkflow,
    ValidateWorkflow,
    ValidationResult,
    VersionPage,
    Workflow,
    WorkflowPage,
)
from station.gateway.answers import created, passed_on
from station.gateway.bodies import LARGEST_VERSION, RollbackBody
from station.gateway.injected import Asker, Id
from station.gateway.openapi import DocumentOperation
from station.gateway.parameters import Cursor, Limit
from station.gateway.problem_document import problems
from station.gateway.requests import DOCUMENT_TYPES, StrictRequest, require_content_type

Environment = Annotated[
    str | None,
    QueryParameter(max_length=256, description="Check agents against this environment; missing ones are errors."),
]


class Workflows(Controller):
    path = "/workflows"
    tags = ["Workflows"]

    @get("/", operation_id="listWorkflows", summary="List workflows", responses=problems())
    async def list_workflows(
        self,
        *,
        request: StrictRequest,
        status: FromQuery[WorkflowStatus | None] = None,
        search: Annotated[str | None, QueryParameter(max_length=256, description="Part of the id or the name.")] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response[WorkflowPage]:
        question = ListWorkflows(status=status, search=search or None, limit=limit, cursor=cursor)
        return passed_on(await request.services.query(subjects.QUERY_WORKFLOWS, question))

    @post(
        "/",
        operation_id="createWorkflow",
        summary="Store a workflow",
        operation_class=DocumentOperation,
        responses=problems(409, 413, 415),
    )
    async def create(self, *, request: StrictRequest, body: RawBody, caller: Asker) -> Response[Workflow]:
        kind = require_content_type(request, DOCUMENT_TYPES)
        command = CreateWorkflow(source=body, content_type=kind, actor=caller.actor)
        return created(await request.services.once(subjects.WORKFLOW_CREATE, command), "/api/v1/workflows")

    @post(
        "/validate",
        operation_id="validateWorkflow",
        summary="Check a definition; nothing is stored",
        operation_class=DocumentOperation,
        status_code=200,
        responses=problems(413, 415),
    )
    async def validate(
        self, *, request: StrictRequest, body: RawBody, environment: Environment = None
    ) -> Response[ValidationResult]:
        kind = require_content_type(request, DOCUMENT_TYPES)
        question = ValidateWorkflow(source=body, content_type=kind, environment=environment or None)
        return passed_on(await request.services.query(subjects.WORKFLOW_VALIDATE, question))

    @get("/{workflow_id:str}", operation_id="getWorkflow", summary="Show a workflow", responses=problems(404))
    async def show(
        self,
        *,
        workflow_id: Id,
        request: StrictRequest,
        version: Annotated[int | None, QueryParameter(ge=1, le=LARGEST_VERSION, description="A revision.")] = None,
    ) -> Response[Workflow]:
        question = GetWorkflow(workflow_id=workflow_id, version=version)
        return passed_on(await request.services.query(subjects.QUERY_WORKFLOW, question))

    @put(
        "/{workflow_id:str}",
        operation_id="updateWorkflow",
        summary="Store a new revision",
        operation_class=DocumentOperation,
        responses=problems(404, 409, 413, 415),
    )
    async def update(
        self, *, request: StrictRequest, workflow_id: Id, body: RawBody, caller: Asker
    ) -> Response[Workflow]:
        kind = require_content_type(request, DOCUMENT_TYPES)
        command = UpdateWorkflow(workflow_id=workflow_id, source=body, content_type=kind, actor=caller.actor)
        return passed_on(await request.services.command(subjects.WORKFLOW_UPDATE, command))

    @delete(
        "/{workflow_id:str}",
        operation_id="deleteWorkflow",
        summary="Delete a workflow that has no runs",
        responses=problems(404, 409),
    )
    async def remove(self, workflow_id: Id, request: StrictRequest, caller: Asker) -> None:
        command = DeleteWorkflow(workflow_id=workflow_id, actor=caller.actor)
        await request.services.once(subjects.WORKFLOW_DELETE, command)

    @get(
        "/{workflow_id:str}/versions",
        operation_id="listWorkflowVersions",
        summary="List the revisions, newest first",
        responses=problems(404),
    )
    async def versions(
        self, *, workflow_id: Id, request: StrictRequest, limit: Limit = 50, cursor: Cursor = None
    ) -> Response[VersionPage]:
        question = ListVersions(workflow_id=workflow_id, limit=limit, cursor=cursor)
        return passed_on(await request.services.query(subjects.QUERY_VERSIONS, question))

    @post(
        "/{workflow_id:str}/rollback",
        operation_id="rollbackWorkflow",
        summary="Make an old revision's content the newest",
        status_code=200,
        responses=problems(404, 409, 413, 415),
    )
    async def rollback(
        self, *, workflow_id: Id, data: JSONBody[RollbackBody], request: StrictRequest, caller: Asker
    ) -> Response[Workflow]:
        command = RollbackWorkflow(workflow_id=workflow_id, version=data.version, actor=caller.actor)
        return passed_on(await request.services.once(subjects.WORKFLOW_ROLLBACK, command))

    @post(
        "/{workflow_id:str}/disable",
        operation_id="disableWorkflow",
        summary="Refuse new runs",
        status_code=200,
        responses=problems(404),
    )
    async def disable(self, workflow_id: Id, request: StrictRequest, caller: Asker) -> Response[Workflow]:
        command = SetWorkflowStatus(workflow_id=workflow_id, status="disabled", actor=caller.actor)
        return passed_on(await request.services.command(subjects.WORKFLOW_SET_STATUS, command))

    @post(
        "/{workflow_id:str}/enable",
        operation_id="enableWorkflow",
        summary="Take new runs again",
        status_code=200,
        responses=problems(404),
    )
    async def enable(self, workflow_id: Id, request: StrictRequest, caller: Asker) -> Response[Workflow]:
        command = SetWorkflowStatus(workflow_id=workflow_id, status="active", actor=caller.actor)
        return passed_on(await request.services.command(subjects.WORKFLOW_SET_STATUS, command))
