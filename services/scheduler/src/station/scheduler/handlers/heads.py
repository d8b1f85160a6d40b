"""What is in force for each workflow, in memory and in the store, and what each workflow file last gave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from station.core.loading import Loaded
from station.scheduler.engine.engine import NotStored
from station.scheduler.handlers import refusals
from station.scheduler.store.reader import Reader
from station.scheduler.store.writer import Unit, Writer

_HEADS = """
SELECT w.workflow_id, w.status, w.source, w.environment, w.source_path, w.sync_status, w.revision, d.digest
FROM workflows w JOIN workflow_definitions d ON d.workflow_id = w.workflow_id AND d.revision = w.revision
"""
_FILES = "SELECT path, workflow_id, digest FROM workflow_files"
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
_PUT_FILE = """
INSERT INTO workflow_files (path, workflow_id, digest) VALUES (?, ?, ?)
ON CONFLICT (path) DO UPDATE SET workflow_id = excluded.workflow_id, digest = excluded.digest
"""
_DELETE = "DELETE FROM workflows WHERE workflow_id = ?"
_DELETE_FILES = "DELETE FROM workflow_files WHERE workflow_id = ?"


class Head(msgspec.Struct, kw_only=True, frozen=True):
    """What is in force for a workflow."""

    workflow_id: str
    status: str
    source: str
    environment: str | None
    source_path: str | None
    sync_status: str
    revision: int
    digest: str


class Given(msgspec.Struct, frozen=True):
    """What a file last gave."""

    workflow_id: str
    digest: str


class Heads:
    """Every workflow's head. Memory follows the store, never the other way round."""

    def __init__(self, writer: Writer, now: Callable[[], int]) -> None:
        self._writer = writer
        self._now = now
        self.by_id: dict[str, Head] = {}
        self.files: dict[str, Given] = {}

    async def load(self, reader: Reader) -> None:
        """Take up what the store holds."""
        names = Head.__struct_fields__
        self.by_id = {row[0]: Head(**dict(zip(names, row, strict=True))) for row in await reader.rows(_HEADS)}
        self.files = {path: Given(identity, digest) for path, identity, digest in await reader.rows(_FILES)}

    async def put(
        self, head: Head, *, revision_of: Loaded | None = None, actor: str = "", file: str | None = None
    ) -> Head:
        """Store a head; with ``revision_of`` its revision too, and with ``file`` that this file gave it."""
        unit, now = Unit(), self._now()
        facts = (head.workflow_id, head.status, head.source, head.environment, head.source_path, head.sync_status)
        unit.add(_PUT_HEAD, (*facts, head.revision, now, now))
        if revision_of is not None:
            unit.add(_PUT_DEFINITION, _definition_row(revision_of, head.revision, actor, now))
        if file is not None:
            unit.add(_PUT_FILE, (file, head.workflow_id, head.digest))
        await self._write(unit)
        self.by_id[head.workflow_id] = head
        if file is not None:
            self.files[file] = Given(head.workflow_id, head.digest)
        return head

    async def delete(self, head: Head) -> None:
        """Forget a workflow; nobody finds it any more while that is under way."""
        unit = Unit()
        unit.add(_DELETE, (head.workflow_id,))
        unit.add(_DELETE_FILES, (head.workflow_id,))
        del self.by_id[head.workflow_id]
        try:
            await self._write(unit)
        except BaseException:
            self.by_id[head.workflow_id] = head
            raise
        self.files = {path: given for path, given in self.files.items() if given.workflow_id != head.workflow_id}

    async def _write(self, unit: Unit) -> None:
        try:
            await self._writer.submit(unit)
        except Exception as error:
            raise refusals.not_stored(NotStored(f"The store did not take it: {error}.")) from error


def _definition_row(loaded: Loaded, revision: int, actor: str, now: int) -> tuple[Any, ...]:
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
        now,
        actor,
    )
