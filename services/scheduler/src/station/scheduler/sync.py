"""Workflow files of the environments: new and changed ones are stored as revisions, deleted ones disabled.

A file that does not validate leaves the stored revision in force and is marked; its problems are logged.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from station.core.loading import load
from station.runtime.errors import Refused
from station.runtime.logging import get_logger
from station.scheduler.handlers.catalog import Catalog
from station.scheduler.handlers.definitions import Definitions, Head

log = get_logger("sync")

_SUFFIXES = (".workflow.yaml", ".workflow.yml", ".workflow.json")
_PERIOD_SECONDS = 2.0
_MAX_BYTES = 1024 * 1024


class Seen(msgspec.Struct, frozen=True):
    """What a file looked like, and which agents there were, when it was last dealt with."""

    modified: int
    size: int
    agents: int


class Sync:
    """Follows the files of every environment."""

    def __init__(self, *, root: Path, definitions: Definitions, catalog: Catalog) -> None:
        self._root = root
        self._definitions = definitions
        self._catalog = catalog
        self._seen: dict[str, Seen] = {}
        self._owners: dict[str, str] = {}
        self._round = 0
        self._soon = asyncio.Event()
        catalog.on_change = self._agents_changed

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                await self.once()
            except Exception:
                log.exception("sync_failed")
            self._soon.clear()
            try:
                await asyncio.wait_for(self._soon.wait(), _PERIOD_SECONDS)
            except TimeoutError:
                continue

    async def once(self) -> None:
        """Deal with what has changed since the last look."""
        files = await asyncio.to_thread(_files, self._root)
        for path, modified, size in files:
            environment = path.relative_to(self._root).parts[0]
            if self._catalog.infos(environment) is None:
                continue  # nobody has said yet which agents there are
            name = str(path.relative_to(self._root))
            seen = Seen(modified, size, self._round)
            if self._seen.get(name) != seen:
                self._seen[name] = seen
                await self._take(path, name, environment)
        await self._disable_missing({str(path.relative_to(self._root)) for path, _, __ in files})

    def _agents_changed(self) -> None:
        self._round += 1
        self._soon.set()

    async def _take(self, path: Path, name: str, environment: str) -> None:
        source = await asyncio.to_thread(path.read_bytes)
        kind = "application/json" if path.suffix == ".json" else "application/yaml"
        loaded = load(source, content_type=kind, agents=self._catalog.infos(environment), agents_required=True)
        if loaded.definition is None:
            for problem in loaded.errors:
                log.error("workflow_file_invalid", file=name, **msgspec.to_builtins(problem))
            await self._mark(name, "invalid")
            return
        identity = loaded.definition.id
        head = self._definitions.head(identity)
        if head is not None and head.source_path not in (None, name) and head.sync_status != "missing":
            log.error("workflow_file_conflict", file=name, detail=f"{identity!r} comes from {head.source_path} already")
            return
        try:
            stored = await self._definitions.apply_file(loaded, environment, name)
        except Refused as error:
            log.error("workflow_file_not_stored", file=name, detail=str(error))
            del self._seen[name]
            return
        if head is not None and head.sync_status == "missing":
            stored = await self._definitions.put_head(msgspec.structs.replace(stored, status="active"))
        if head is None or head.revision != stored.revision:
            log.info("workflow_file_stored", file=name, workflow_id=identity, version=stored.revision)
        for problem in loaded.warnings:
            log.warning("workflow_file_warning", file=name, **msgspec.to_builtins(problem))

    async def _mark(self, name: str, sync_status: str) -> None:
        head = self._of_file(name)
        if head is not None and head.sync_status != sync_status:
            await self._definitions.put_head(msgspec.structs.replace(head, sync_status=sync_status))

    async def _disable_missing(self, present: set[str]) -> None:
        for head in self._definitions.heads():
            if head.source_path is None or head.source_path in present or head.sync_status == "missing":
                continue
            log.warning("workflow_file_missing", file=head.source_path, workflow_id=head.workflow_id)
            self._seen.pop(head.source_path, None)
            await self._definitions.put_head(msgspec.structs.replace(head, status="disabled", sync_status="missing"))

    def _of_file(self, name: str) -> Head | None:
        return next((head for head in self._definitions.heads() if head.source_path == name), None)


def _files(root: Path) -> list[tuple[Path, int, int]]:
    """Regular files only, and none that a link leads to outside of the root."""
    found: list[tuple[Path, int, int]] = []
    resolved = root.resolve()
    for path in sorted(root.glob("*/workflows/*")):
        if not path.name.endswith(_SUFFIXES) or not path.is_file():
            continue
        status = path.stat()
        if resolved in path.resolve().parents and status.st_size <= _MAX_BYTES:
            found.append((path, status.st_mtime_ns, status.st_size))
    return found
