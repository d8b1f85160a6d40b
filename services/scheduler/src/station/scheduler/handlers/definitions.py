"""Workflow definitions: loading, revisions, status. A revision never changes; a run stays bound to its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from station.contracts import workflows as wf
from station.core.loading import Loaded, load
from station.core.program import Program
from station.runtime.rpc import RpcContext, refuse
from station.scheduler.engine.engine import NotStored
from station.scheduler.engine.loading import Programs
from station.scheduler.handlers import refusals
from station.scheduler.handlers.catalog import Catalog
from station.scheduler.store.reader import Reader
from station.scheduler.store.writer import Unit, Writer

_HEADS = """
SELECT w.workflow_id, w.status, w.source, w.environment, w.source_path, w.sync_status, w.revision, d.digest
FROM workflows w JOIN workflow_definitions d ON d.workflow_id = w.workflow_id AND d.revision = w.revision
"""
_PUT_HEAD = """
INSERT INTO workflows (workflow_id, status, source, environment, source_path, sync_status, revision, created_at,
    updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (workflow_id) DO UPDATE SET status = excluded.status, source = excluded.source,
    environment = excluded.environment, source_path = excluded.source_path, sync_status = excluded.sync_status,
    revision = excluded.revision, updated_at = excluded.updated_at
"""
_PUT_DEFINITION = """
INSERT INTO workflow_definitions (workflow_id, revision, name, description, version_label, definition, digest,
    warnings, created_at, created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_SOURCE = "SELECT definition FROM workflow_definitions WHERE workflow_id = ? AND revision = ?"
_COUNT_RUNS = "SELECT count(*) FROM workflow_runs WHERE workflow_id = ?"
_DELETE = "DELETE FROM workflows WHERE workflow_id = ?"


class Head(msgspec.Struct, kw_only=True):
    """What is in force for a workflow."""

    workflow_id: str
    status: str
    source: str
    environment: str | None
    source_path: str | None
    sync_status: str
    revision: int
    digest: str


class Definitions:
    """Every workflow's head in memory, its revisions in the store. One change at a time."""

    def __init__(
        self, *, writer: Writer, reader: Reader, programs: Programs, catalog: Catalog, now: Callable[[], int]
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._programs = programs
        self._catalog = catalog
        self._now = now
        self._heads: dict[str, Head] = {}
        self._changing = asyncio.Lock()
        self._starting: dict[str, int] = {}

    async def load(self) -> None:
        """Take up what the store holds."""
        for row in await self._reader.rows(_HEADS):
            names = (
                "workflow_id",
                "status",
                "source",
                "environment",
                "source_path",
                "sync_status",
                "revision",
                "digest",
            )
            head = Head(**dict(zip(names, row, strict=True)))
            self._heads[head.workflow_id] = head

    def head(self, workflow_id: str) -> Head | None:
        """Give what is in force for a workflow."""
        return self._heads.get(workflow_id)

    def heads(self) -> list[Head]:
        """Give every workflow."""
        return list(self._heads.values())

    async def program(self, workflow_id: str, revision: int) -> Program:
        """Give a revision ready to run, or refuse with 404."""
        try:
            return await self._programs.get(workflow_id, revision)
        except KeyError:
            raise refusals.version_not_found(workflow_id, revision) from None

    def note_start(self, workflow_id: str, now: int) -> None:
        """A run begins: its workflow cannot be deleted any more, even before the run is on disk."""
        self._starting[workflow_id] = now

    async def create(self, request: wf.CreateWorkflow, _: RpcContext) -> tuple[Head, Loaded]:
        """Store a new workflow; refuse one whose id exists."""
        loaded = self._loaded(request.source, request.content_type)
        async with self._changing:
            identity = _identity(loaded)
            if identity in self._heads:
                raise refuse(
                    409, "workflow_exists", f"Workflow {identity!r} exists. Send a PUT to make a new version of it."
                )
            return await self._store(loaded, request.actor, None), loaded

    async def update(self, request: wf.UpdateWorkflow, _: RpcContext) -> tuple[Head, Loaded]:
        """Store a new revision, unless the content is the same."""
        loaded = self._loaded(request.source, request.content_type)
        if request.workflow_id not in self._heads:
            raise refusals.workflow_not_found(request.workflow_id)
        if _identity(loaded) != request.workflow_id:
            raise refusals.invalid(
                "id_mismatch",
                f"The definition's id is {_identity(loaded)!r}, not {request.workflow_id!r} as in the address.",
            )
        async with self._changing:
            return await self._store(loaded, request.actor, None), loaded

    async def rollback(self, request: wf.RollbackWorkflow, _: RpcContext) -> tuple[Head, Loaded]:
        """Store an old revision's content as the newest."""
        if request.workflow_id not in self._heads:
            raise refusals.workflow_not_found(request.workflow_id)
        row = await self._reader.row(_SOURCE, (request.workflow_id, request.version))
        if row is None:
            raise refusals.version_not_found(request.workflow_id, request.version)
        loaded = self._loaded(row[0].encode(), "application/json")
        async with self._changing:
            return await self._store(loaded, request.actor, None), loaded

    def validate(self, request: wf.ValidateWorkflow) -> wf.ValidationResult:
        """Say what is wrong with a definition; stores nothing."""
        environment = request.environment
        agents = self._catalog.infos(environment or "default")
        loaded = load(
            request.source,
            content_type=request.content_type,
            agents=agents,
            agents_required=environment is not None,
        )
        return wf.ValidationResult(valid=not loaded.errors, errors=loaded.errors, warnings=loaded.warnings)

    async def delete(self, request: wf.DeleteWorkflow, _: RpcContext) -> None:
        """Delete a workflow that has never run."""
        async with self._changing:
            if request.workflow_id not in self._heads:
                raise refusals.workflow_not_found(request.workflow_id)
            await self._writer.barrier()
            row = await self._reader.row(_COUNT_RUNS, (request.workflow_id,))
            count = row[0] if row else 0
            if count or request.workflow_id in self._starting:
                raise refuse(
                    409,
                    "workflow_has_runs",
                    f"Workflow {request.workflow_id!r} has {count} runs, whose history needs it. Disable it instead.",
                    runs=count,
                )
            unit = Unit()
            unit.add(_DELETE, (request.workflow_id,))
            await self._write(unit)
            del self._heads[request.workflow_id]

    async def set_status(self, request: wf.SetWorkflowStatus, _: RpcContext) -> Head:
        """Enable or disable a workflow."""
        async with self._changing:
            head = self._heads.get(request.workflow_id)
            if head is None:
                raise refusals.workflow_not_found(request.workflow_id)
            return await self.put_head(msgspec.structs.replace(head, status=request.status))

    async def apply_file(self, loaded: Loaded, environment: str, source_path: str) -> Head:
        """Store what a file says."""
        async with self._changing:
            return await self._store(loaded, "system:sync", (environment, source_path))

    async def put_head(self, head: Head) -> Head:
        """Store what is in force for a workflow."""
        unit = Unit()
        self._add_head(unit, head)
        await self._write(unit)
        self._heads[head.workflow_id] = head
        return head

    def _loaded(self, source: bytes, content_type: str) -> Loaded:
        loaded = load(source, content_type=content_type, agents=self._catalog.infos("default"), agents_required=False)
        if loaded.definition is None:
            first = "; ".join(f"{problem.path or '/'}: {problem.message}" for problem in loaded.errors[:3])
            raise refuse(
                400,
                "definition_invalid",
                f"The definition has {len(loaded.errors)} errors: {first}",
                loaded.errors,
                warnings=msgspec.to_builtins(loaded.warnings),
            )
        return loaded

    async def _store(self, loaded: Loaded, actor: str, file: tuple[str, str] | None) -> Head:
        definition = loaded.definition
        if definition is None or loaded.digest is None:
            message = "only a definition without errors is stored"
            raise ValueError(message)
        known = self._heads.get(definition.id)
        same = known is not None and known.digest == loaded.digest
        revision = 1 if known is None else known.revision if same else known.revision + 1
        head = Head(
            workflow_id=definition.id,
            status="active" if known is None else known.status,
            source="file" if file else "api",
            environment=file[0] if file else None,
            source_path=file[1] if file else None,
            sync_status="synced" if file else "not_applicable",
            revision=revision,
            digest=loaded.digest,
        )
        if known is not None and same and file is None:
            return known
        if head == known:
            return head
        unit = Unit()
        self._add_head(unit, head)
        if not same:
            unit.add(_PUT_DEFINITION, self._definition_row(loaded, revision, actor))
        await self._write(unit)
        self._heads[head.workflow_id] = head
        return head

    def _definition_row(self, loaded: Loaded, revision: int, actor: str) -> tuple[Any, ...]:
        definition = loaded.definition
        assert definition is not None
        return (
            definition.id,
            revision,
            definition.name or definition.id,
            definition.description,
            definition.version or str(revision),
            msgspec.json.encode(loaded.canonical).decode(),
            loaded.digest,
            msgspec.json.encode(loaded.warnings).decode(),
            self._now(),
            actor,
        )

    def _add_head(self, unit: Unit, head: Head) -> None:
        now = self._now()
        unit.add(
            _PUT_HEAD,
            (
                head.workflow_id,
                head.status,
                head.source,
                head.environment,
                head.source_path,
                head.sync_status,
                head.revision,
                now,
                now,
            ),
        )

    async def _write(self, unit: Unit) -> None:
        try:
            await self._writer.submit(unit)
        except Exception as error:
            raise refusals.not_stored(NotStored(f"The store did not take it: {error}.")) from error


def _identity(loaded: Loaded) -> str:
    return loaded.definition.id if loaded.definition is not None else ""
