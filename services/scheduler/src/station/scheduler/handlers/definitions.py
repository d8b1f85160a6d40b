"""Workflow definitions: loading, revisions, status. A revision never changes; a run stays bound to its own.

One change at a time. Between a file and the API the last change wins: a file is stored again when what it says has
changed, not when it is merely seen again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Generator
from typing import Literal

import msgspec

from station.contracts import workflows as wf
from station.core.definition import Definition
from station.core.loading import AgentInfo, Loaded, load
from station.core.program import Program
from station.runtime.rpc import RpcContext, refuse
from station.scheduler.engine.loading import Programs
from station.scheduler.handlers import refusals
from station.scheduler.handlers.catalog import Catalog
from station.scheduler.handlers.heads import Given, Head, Heads
from station.scheduler.store.reader import Reader
from station.scheduler.store.writer import Writer

__all__ = ["Definitions", "Head"]

_SOURCE = "SELECT definition FROM workflow_definitions WHERE workflow_id = ? AND revision = ?"
_COUNT_RUNS = "SELECT coalesce(sum(runs), 0) FROM workflow_run_counts WHERE workflow_id = ?"
_SYNC = "system:sync"


class Definitions:
    """Every workflow's head in memory, its revisions in the store."""

    def __init__(
        self, *, writer: Writer, reader: Reader, programs: Programs, catalog: Catalog, now: Callable[[], int]
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._programs = programs
        self._catalog = catalog
        self._heads = Heads(writer, now)
        self._changing = asyncio.Lock()
        self._starting: Counter[str] = Counter()

    async def load(self) -> None:
        """Take up what the store holds."""
        await self._heads.load(self._reader)

    def head(self, workflow_id: str) -> Head | None:
        """Give what is in force for a workflow."""
        return self._heads.by_id.get(workflow_id)

    def heads(self) -> list[Head]:
        """Give every workflow."""
        return list(self._heads.by_id.values())

    def given(self, path: str) -> Given | None:
        """Give what a file last gave."""
        return self._heads.files.get(path)

    async def program(self, workflow_id: str, revision: int) -> Program:
        """Give a revision ready to run, or refuse with 404."""
        try:
            return await self._programs.get(workflow_id, revision)
        except KeyError:
            raise refusals.version_not_found(workflow_id, revision) from None

    @contextlib.contextmanager
    def starting(self, workflow_id: str) -> Generator[None]:
        """Inside, a run begins: its workflow cannot be deleted, though no run of it may be on disk yet."""
        self._starting[workflow_id] += 1
        try:
            yield
        finally:
            self._starting[workflow_id] -= 1
            if not self._starting[workflow_id]:
                del self._starting[workflow_id]

    async def create(self, request: wf.CreateWorkflow, _: RpcContext) -> tuple[Head, Loaded]:
        """Store a new workflow; refuse one whose id exists."""
        loaded = await self._loaded(request.source, request.content_type)
        async with self._changing:
            identity = _definition(loaded).id
            if self.head(identity) is not None:
                raise refuse(
                    409, "workflow_exists", f"Workflow {identity!r} exists. Send a PUT to make a new version of it."
                )
            return await self._store(loaded, request.actor), loaded

    async def update(self, request: wf.UpdateWorkflow, _: RpcContext) -> tuple[Head, Loaded]:
        """Store a new revision, unless the content is the same."""
        self._known(request.workflow_id)
        loaded = await self._loaded(request.source, request.content_type)
        identity = _definition(loaded).id
        if identity != request.workflow_id:
            raise refusals.invalid(
                "id_mismatch",
                f"The definition's id is {identity!r}, the address says {request.workflow_id!r}: make them equal.",
            )
        async with self._changing:
            self._known(request.workflow_id)
            return await self._store(loaded, request.actor), loaded

    async def rollback(self, request: wf.RollbackWorkflow, _: RpcContext) -> tuple[Head, Loaded]:
        """Store an old revision's content as the newest."""
        async with self._changing:
            self._known(request.workflow_id)
            row = await self._reader.row(_SOURCE, (request.workflow_id, request.version))
            if row is None:
                raise refusals.version_not_found(request.workflow_id, request.version)
            loaded = await self._loaded(row[0].encode(), "application/json")
            return await self._store(loaded, request.actor), loaded

    async def validate(self, request: wf.ValidateWorkflow) -> wf.ValidationResult:
        """Say what is wrong with a definition; stores nothing."""
        environment = request.environment
        loaded = await self.read(
            request.source, request.content_type, environment or "default", agents_required=environment is not None
        )
        return wf.ValidationResult(
            valid=not loaded.errors, errors=loaded.errors, warnings=loaded.warnings, notes=loaded.notes
        )

    async def delete(self, request: wf.DeleteWorkflow, _: RpcContext) -> None:
        """Delete a workflow that has never run."""
        async with self._changing:
            self._known(request.workflow_id)
            await self._writer.barrier()
            row = await self._reader.row(_COUNT_RUNS, (request.workflow_id,))
            head, count = (
                self._known(request.workflow_id),
                max(row[0] if row else 0, self._starting[request.workflow_id]),
            )
            if count:
                raise refuse(
                    409,
                    "workflow_has_runs",
                    f"Workflow {request.workflow_id!r} has {_counted(count, 'run')}, whose history needs it."
                    " Disable it instead.",
                    runs=count,
                )
            await self._heads.delete(head)
            self._programs.forget(request.workflow_id)

    async def set_status(self, request: wf.SetWorkflowStatus, _: RpcContext) -> Head:
        """Enable or disable a workflow."""
        async with self._changing:
            head = self._known(request.workflow_id)
            if head.status == request.status:
                return head
            return await self._heads.put(msgspec.structs.replace(head, status=request.status))

    async def apply_file(self, loaded: Loaded, environment: str, path: str) -> Head:
        """Store what a file says."""
        async with self._changing:
            return await self._store(loaded, _SYNC, (environment, path))

    async def mark_file(self, path: str, sync_status: Literal["invalid", "missing"], *, but: str | None = None) -> None:
        """Mark the workflows that come from a file, except ``but``; those of a file that is gone are disabled."""
        async with self._changing:
            for head in self.heads():
                if head.source_path == path and head.workflow_id != but and head.sync_status != sync_status:
                    status = "disabled" if sync_status == "missing" else head.status
                    await self._heads.put(msgspec.structs.replace(head, status=status, sync_status=sync_status))

    async def read(
        self, source: bytes, content_type: str, environment: str, *, agents_required: bool = False
    ) -> Loaded:
        """Load a definition without holding up the loop, however large it is."""
        agents: dict[str, AgentInfo] | None = self._catalog.named_in(environment)
        return await asyncio.to_thread(
            load, source, content_type=content_type, agents=agents, agents_required=agents_required
        )

    def _known(self, workflow_id: str) -> Head:
        head = self.head(workflow_id)
        if head is None:
            raise refusals.workflow_not_found(workflow_id)
        return head

    async def _loaded(self, source: bytes, content_type: str) -> Loaded:
        loaded = await self.read(source, content_type, "default")
        if loaded.definition is None:
            first = "; ".join(f"{problem.path or '/'}: {problem.message}" for problem in loaded.errors[:3])
            raise refuse(
                400,
                "definition_invalid",
                f"The definition has {_counted(len(loaded.errors), 'error')}: {first}",
                loaded.errors,
                warnings=msgspec.to_builtins(loaded.warnings),
            )
        return loaded

    async def _store(self, loaded: Loaded, actor: str, file: tuple[str, str] | None = None) -> Head:
        definition, known = _definition(loaded), self.head(_definition(loaded).id)
        same = known is not None and known.digest == loaded.digest
        if known is not None and same and file is None:
            return known
        back = known is not None and file is not None and known.sync_status == "missing"
        head = Head(
            workflow_id=definition.id,
            status="active" if known is None or back else known.status,
            source="file" if file else "api",
            environment=file[0] if file else known and known.environment,
            source_path=file[1] if file else None,
            sync_status="synced" if file else "not_applicable",
            revision=1 if known is None else known.revision if same else known.revision + 1,
            digest=loaded.digest or "",
        )
        path = file[1] if file else None
        if head == known and (path is None or self.given(path) == Given(head.workflow_id, head.digest)):
            return head
        return await self._heads.put(head, revision_of=None if same else loaded, actor=actor, file=path)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _definition(loaded: Loaded) -> Definition:
    assert loaded.definition is not None, "only a definition without errors is stored"
    return loaded.definition
