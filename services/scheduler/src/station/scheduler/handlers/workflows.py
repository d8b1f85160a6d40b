"""Requests about workflows, answered with the workflow as the API shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from station.contracts import workflows as wf
from station.contracts.problems import Problem
from station.contracts.work import Done
from station.core.instants import to_text
from station.core.loading import Loaded
from station.runtime.bus import Bus
from station.runtime.rpc import RpcContext
from station.scheduler.handlers import paging, refusals
from station.scheduler.handlers.definitions import Definitions
from station.scheduler.store.reader import Reader, Row

_DAY_MS = 24 * 3600 * 1000
_DAYS = 30

_COLUMNS = """
w.workflow_id, d.name, d.description, d.revision, d.version_label, w.status, w.source, w.sync_status,
(SELECT max(r.created_at) FROM workflow_runs r WHERE r.workflow_id = w.workflow_id),
w.created_at, w.updated_at
"""
_RATES = """
SELECT workflow_id, sum(ended), sum(completed) FROM workflow_run_days
WHERE workflow_id IN (SELECT value FROM json_each(?)) AND day >= ? GROUP BY workflow_id
"""
_ONE = f"""
SELECT {_COLUMNS}, d.definition, d.warnings FROM workflows w
JOIN workflow_definitions d ON d.workflow_id = w.workflow_id AND d.revision = coalesce(?, w.revision)
WHERE w.workflow_id = ?
"""  # noqa: S608 - our own names
_FILTER = """
(? IS NULL OR w.status = ?) AND (? IS NULL OR w.workflow_id LIKE ? ESCAPE '\\' OR d.name LIKE ? ESCAPE '\\')
"""
_PAGE = f"""
SELECT {_COLUMNS} FROM workflows w
JOIN workflow_definitions d ON d.workflow_id = w.workflow_id AND d.revision = w.revision
WHERE {_FILTER} AND w.workflow_id > ? ORDER BY w.workflow_id LIMIT ?
"""  # noqa: S608 - our own names
_TOTAL = f"""
SELECT count(*) FROM workflows w
JOIN workflow_definitions d ON d.workflow_id = w.workflow_id AND d.revision = w.revision WHERE {_FILTER}
"""  # noqa: S608 - our own names
_VERSIONS = """
SELECT workflow_id, revision, version_label, digest, created_at, created_by, definition FROM workflow_definitions
WHERE workflow_id = ? AND revision < ? ORDER BY revision DESC LIMIT ?
"""
_VERSION_COUNT = "SELECT count(*) FROM workflow_definitions WHERE workflow_id = ?"
_NEWEST = 2**31


class Workflows:
    """Commands and queries about workflows."""

    def __init__(self, definitions: Definitions, reader: Reader, bus: Bus, now: Callable[[], int]) -> None:
        self._definitions = definitions
        self._reader = reader
        self._bus = bus
        self._now = now

    async def create(self, request: wf.CreateWorkflow, context: RpcContext) -> wf.Workflow:
        """Create a workflow."""
        head, loaded = await self._definitions.create(request, context)
        return await self._show(head.workflow_id, head.revision, loaded)

    async def update(self, request: wf.UpdateWorkflow, context: RpcContext) -> wf.Workflow:
        """Make a new revision."""
        head, loaded = await self._definitions.update(request, context)
        return await self._show(head.workflow_id, head.revision, loaded)

    async def rollback(self, request: wf.RollbackWorkflow, context: RpcContext) -> wf.Workflow:
        """Make a new revision of old content."""
        head, loaded = await self._definitions.rollback(request, context)
        return await self._show(head.workflow_id, head.revision, loaded)

    async def validate(self, request: wf.ValidateWorkflow, _: RpcContext) -> wf.ValidationResult:
        """Say what is wrong with a definition."""
        return await self._definitions.validate(request)

    async def delete(self, request: wf.DeleteWorkflow, context: RpcContext) -> Done:
        """Delete a workflow."""
        await self._definitions.delete(request, context)
        return Done()

    async def set_status(self, request: wf.SetWorkflowStatus, context: RpcContext) -> wf.Workflow:
        """Enable or disable a workflow."""
        head = await self._definitions.set_status(request, context)
        return await self._show(head.workflow_id, None)

    async def get(self, request: wf.GetWorkflow, _: RpcContext) -> wf.Workflow:
        """Show a workflow."""
        return await self._show(request.workflow_id, request.version)

    async def page(self, request: wf.ListWorkflows, _: RpcContext) -> wf.WorkflowPage:
        """Show workflows by id."""
        pattern = None if request.search is None else f"%{_escaped(request.search)}%"
        chosen = (request.status, request.status, request.search, pattern, pattern)
        rows = await self._reader.rows(_PAGE, (*chosen, paging.workflow_id(request.cursor), request.limit + 1))
        total = await self._reader.row(_TOTAL, chosen)
        shown = paging.fitting(rows[: request.limit], (1, 2), self._bus)
        rates = await self._rates(shown)
        return wf.WorkflowPage(
            items=tuple(wf.WorkflowSummary(**_facts(row, rates)) for row in shown),
            next_cursor=shown[-1][0] if len(rows) > len(shown) else None,
            total=total[0] if total else 0,
        )

    async def versions(self, request: wf.ListVersions, _: RpcContext) -> wf.VersionPage:
        """Show a workflow's revisions, newest first."""
        if self._definitions.head(request.workflow_id) is None:
            raise refusals.workflow_not_found(request.workflow_id)
        before = paging.number(request.cursor, _NEWEST)
        rows = await self._reader.rows(_VERSIONS, (request.workflow_id, before, request.limit + 1))
        total = await self._reader.row(_VERSION_COUNT, (request.workflow_id,))
        shown = paging.fitting(rows[: request.limit], (6,), self._bus)
        return wf.VersionPage(
            items=tuple(_version(row) for row in shown),
            next_cursor=str(shown[-1][1]) if len(rows) > len(shown) else None,
            total=total[0] if total else 0,
        )

    async def _show(self, workflow_id: str, version: int | None, loaded: Loaded | None = None) -> wf.Workflow:
        row = await self._reader.row(_ONE, (version, workflow_id))
        if row is None:
            if version is not None and self._definitions.head(workflow_id) is not None:
                raise refusals.version_not_found(workflow_id, version)
            raise refusals.workflow_not_found(workflow_id)
        stored = msgspec.json.decode(row[12], type=tuple[Problem, ...])
        return wf.Workflow(
            **_facts(row, await self._rates([row])),
            definition=msgspec.json.decode(row[11]),
            validation=wf.Validation(warnings=stored)
            if loaded is None
            else wf.Validation(warnings=loaded.warnings, notes=loaded.notes),
        )

    async def _rates(self, rows: list[Row]) -> dict[str, float]:
        """Give the share of completed runs among those that ended today or in the 30 days (UTC) before, by workflow."""
        names = msgspec.json.encode([row[0] for row in rows]).decode()
        found = await self._reader.rows(_RATES, (names, self._now() // _DAY_MS - _DAYS))
        return {name: round(completed / count, 4) for name, count, completed in found}


def _facts(row: Row, rates: dict[str, float]) -> dict[str, Any]:
    return {
        "id": row[0],
        "name": row[1],
        "description": row[2],
        "version": row[3],
        "version_label": row[4],
        "status": row[5],
        "source": row[6],
        "sync_status": row[7],
        "last_run_at": None if row[8] is None else to_text(row[8]),
        "success_rate30d": rates.get(row[0]),
        "created_at": to_text(row[9]),
        "updated_at": to_text(row[10]),
    }


def _version(row: Row) -> wf.WorkflowVersion:
    return wf.WorkflowVersion(
        workflow_id=row[0],
        version=row[1],
        version_label=row[2],
        digest=row[3],
        created_at=to_text(row[4]),
        created_by=row[5],
        definition=msgspec.json.decode(row[6]),
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
