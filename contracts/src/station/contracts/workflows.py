"""Commands, queries and answers about workflow definitions."""

from typing import Any, Literal

import msgspec

from station.contracts.bounds import PageLimit, Revision
from station.contracts.problems import Problem
from station.contracts.wire import Wire


class Validation(Wire):
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    """What is probably right and could be said better; only in the answer to what stores a revision."""


class ValidationResult(Wire):
    valid: bool
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    """What is probably right and could be said better."""


class CreateWorkflow(Wire):
    source: bytes
    """The document as the author sent it, YAML or JSON."""
    content_type: str = "application/yaml"
    actor: str


class UpdateWorkflow(Wire):
    workflow_id: str
    source: bytes
    content_type: str = "application/yaml"
    actor: str


class ValidateWorkflow(Wire):
    source: bytes
    content_type: str = "application/yaml"
    environment: str | None = None
    """Check agents against this environment's catalog; missing ones are then errors."""


class DeleteWorkflow(Wire):
    workflow_id: str
    actor: str


class RollbackWorkflow(Wire):
    workflow_id: str
    version: Revision
    actor: str


class SetWorkflowStatus(Wire):
    workflow_id: str
    status: Literal["active", "disabled"]
    actor: str


class GetWorkflow(Wire):
    workflow_id: str
    version: Revision | None = None


class ListWorkflows(Wire):
    status: str | None = None
    search: str | None = None
    limit: PageLimit = 50
    cursor: str | None = None


class ListVersions(Wire):
    workflow_id: str
    limit: PageLimit = 50
    cursor: str | None = None


class WorkflowSummary(Wire):
    id: str
    name: str
    description: str | None
    version: int
    """Revision: 1, 2, 3 …"""
    version_label: str
    """The author's own ``version``, as text."""
    status: Literal["active", "disabled"]
    source: Literal["api", "file"]
    sync_status: Literal["not_applicable", "synced", "invalid", "missing"]
    """How the stored revision stands to its file."""
    last_run_at: str | None
    success_rate30d: float | None = msgspec.field(default=None, name="successRate30d")
    """0..1 over the runs that ended in the last 30 days; None without any."""
    created_at: str
    updated_at: str


class Workflow(WorkflowSummary):
    definition: dict[str, Any]
    validation: Validation = Validation()


class WorkflowPage(Wire):
    items: tuple[WorkflowSummary, ...]
    next_cursor: str | None
    total: int


class WorkflowVersion(Wire):
    workflow_id: str
    version: int
    version_label: str
    digest: str
    created_at: str
    created_by: str
    definition: dict[str, Any]


class VersionPage(Wire):
    items: tuple[WorkflowVersion, ...]
    next_cursor: str | None
    total: int
