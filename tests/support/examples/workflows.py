"""One example of every command, query and answer about workflow definitions."""

from typing import Any

import msgspec

from station.contracts.problems import Problem
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
    Validation,
    ValidationResult,
    VersionPage,
    Workflow,
    WorkflowPage,
    WorkflowSummary,
    WorkflowVersion,
)

SOURCE = b"id: pause\nstates:\n  - {name: wait, type: inject, data: {\xc3\xa4: 1}}\n"
DEFINITION = {"id": "pause", "states": [{"name": "wait", "type": "inject", "data": {"ä": 1}}]}
ERROR = Problem(
    code="next_unknown", path="/states/0/next", message="There is no state `wiat`.", hint="Did you mean `wait`?"
)
WARNING = Problem(code="end_assumed", path="/states/0", message="It has neither `next` nor `end`.", hint=None)
SUMMARY: dict[str, Any] = {
    "id": "pause",
    "name": "Pause",
    "description": "Waits.",
    "version": 3,
    "version_label": "1.10",
    "status": "disabled",
    "source": "file",
    "sync_status": "synced",
    "last_run_at": "2026-01-02T03:04:05.678Z",
    "success_rate30d": 0.975,
    "created_at": "2026-01-01T00:00:00.000Z",
    "updated_at": "2026-01-02T00:00:00.000Z",
}

EXAMPLES: tuple[msgspec.Struct, ...] = (
    CreateWorkflow(source=SOURCE, content_type="application/json", actor="user:alice"),
    UpdateWorkflow(workflow_id="pause", source=SOURCE, content_type="application/json", actor="user:alice"),
    ValidateWorkflow(source=SOURCE, content_type="application/json", environment="production"),
    DeleteWorkflow(workflow_id="pause", actor="user:alice"),
    RollbackWorkflow(workflow_id="pause", version=2, actor="user:alice"),
    SetWorkflowStatus(workflow_id="pause", status="disabled", actor="user:alice"),
    GetWorkflow(workflow_id="pause", version=2),
    ListWorkflows(status="active", search="pau", limit=20, cursor="Y3Vyc29y"),
    ListVersions(workflow_id="pause", limit=20, cursor="Y3Vyc29y"),
    Workflow(**SUMMARY, definition=DEFINITION, validation=Validation(errors=(ERROR,), warnings=(WARNING,))),
    WorkflowPage(items=(WorkflowSummary(**SUMMARY),), next_cursor="Y3Vyc29y", total=21),
    ValidationResult(valid=False, errors=(ERROR,), warnings=(WARNING,)),
    VersionPage(
        items=(
            WorkflowVersion(
                workflow_id="pause",
                version=3,
                version_label="1.10",
                digest="c3" * 32,
                created_at="2026-01-02T00:00:00.000Z",
                created_by="user:alice",
                definition=DEFINITION,
            ),
        ),
        next_cursor="Y3Vyc29y",
        total=21,
    ),
)

NOTE = Problem(
    code="schema_optional", path="/states/0/input/variables/a", message="It fits if complete.", hint="Say so."
)
LATER: dict[str, msgspec.Struct] = {
    "Workflow.notes": Workflow(**SUMMARY, definition=DEFINITION, validation=Validation(notes=(NOTE,))),
    "ValidationResult.notes": ValidationResult(valid=True, notes=(NOTE,)),
}
