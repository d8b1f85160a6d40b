"""Workflow files of the environments: new and changed ones are stored as revisions, deleted ones disabled.

A file that does not validate leaves the stored revision in force and is marked; its problems are logged. What the API
has changed since the file was last stored stays until the file changes again.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from station.core.definition import Definition
from station.core.loading import Loaded
from station.runtime.errors import Refused
from station.runtime.logging import get_logger
from station.scheduler.handlers.catalog import Catalog
from station.scheduler.handlers.definitions import Definitions
from station.scheduler.handlers.heads import Given

log = get_logger("sync")

_SUFFIXES = (".workflow.yaml", ".workflow.yml", ".workflow.json")
_PERIOD_SECONDS = 2.0
_MAX_BYTES = 1024 * 1024


class Found(msgspec.Struct, frozen=True):
    """A workflow file and what it looked like."""

    path: Path
    name: str
    """Relative to the environments directory: its identity."""
    modified: int
    size: int
    inside: bool
    """False if a link leads out of the environments directory."""

    @property
    def environment(self) -> str:
        """The folder it lies in."""
        return self.name.split("/", 1)[0]


class Sync:
    """Follows the files of every environment."""

    def __init__(self, *, root: Path, definitions: Definitions, catalog: Catalog) -> None:
        self._root = root
        self._definitions = definitions
        self._catalog = catalog
        self._seen: dict[str, tuple[Found, int]] = {}
        """Files that were dealt with, and in which round of agents."""
        self._waiting: set[str] = set()
        """Files whose workflow another file gives; they are tried again when that one goes."""
        self._round = 0
        self._soon = asyncio.Event()
        catalog.on_change = self._agents_changed

    async def run(self) -> None:
        """Look for ever."""
        while True:
            self._soon.clear()
            try:
                await self.once()
            except Exception:
                log.exception("sync_failed")
            try:
                await asyncio.wait_for(self._soon.wait(), _PERIOD_SECONDS)
            except TimeoutError:
                continue

    async def once(self) -> None:
        """Deal with what has changed since the last look."""
        files = await asyncio.to_thread(_files, self._root)
        await self._disable_missing({file.name for file in files})
        for file in files:
            if self._catalog.infos(file.environment) is None:
                continue  # nobody has said yet which agents there are
            seen = (file, self._round)
            if self._seen.get(file.name) == seen:
                continue
            self._seen[file.name] = seen
            try:
                await self._take(file)
            except (Refused, OSError) as error:
                log.error("workflow_file_not_stored", file=file.name, detail=str(error))
                del self._seen[file.name]  # so that it is tried again

    def _agents_changed(self) -> None:
        self._round += 1
        self._soon.set()

    async def _take(self, file: Found) -> None:
        loaded = await self._load(file)
        if loaded is None or loaded.definition is None:
            await self._definitions.mark_file(file.name, "invalid")
            return
        await self._leave_former(file, loaded.definition)
        identity, head = loaded.definition.id, self._definitions.head(loaded.definition.id)
        if head is not None and head.source_path not in (None, file.name) and head.sync_status != "missing":
            self._waiting.add(file.name)
            detail = f"{identity!r} comes from {head.source_path} already; give it another id, or remove one of the two"
            log.error("workflow_file_conflict", file=file.name, detail=detail)
            return
        self._waiting.discard(file.name)
        if head is not None and head.source == "api":
            if self._definitions.given(file.name) == Given(identity, loaded.digest or ""):
                log.info("workflow_file_superseded", file=file.name, workflow_id=identity, version=head.revision)
                return
            log.warning("workflow_file_takes_over", file=file.name, workflow_id=identity, version=head.revision)
        stored = await self._definitions.apply_file(loaded, file.environment, file.name)
        if head is None or head.revision != stored.revision:
            log.info("workflow_file_stored", file=file.name, workflow_id=identity, version=stored.revision)
        for problem in loaded.warnings:
            log.warning("workflow_file_warning", file=file.name, **msgspec.to_builtins(problem))

    async def _load(self, file: Found) -> Loaded | None:
        """Read a file; what is wrong with it is logged."""
        if not file.inside or file.size > _MAX_BYTES:
            reason = f"it has {file.size} bytes, the limit is {_MAX_BYTES}" if file.inside else "a link leads outside"
            log.error("workflow_file_refused", file=file.name, detail=reason)
            return None
        source = await asyncio.to_thread(file.path.read_bytes)
        kind = "application/json" if file.path.suffix == ".json" else "application/yaml"
        loaded = await self._definitions.read(source, kind, file.environment, agents_required=True)
        for problem in loaded.errors:
            log.error("workflow_file_invalid", file=file.name, **msgspec.to_builtins(problem))
        return loaded

    async def _leave_former(self, file: Found, definition: Definition) -> None:
        """A file that gives another workflow than before has taken the former one away."""
        former = [
            head.workflow_id
            for head in self._definitions.heads()
            if head.source_path == file.name and head.workflow_id != definition.id and head.sync_status != "missing"
        ]
        if former:
            log.warning("workflow_file_missing", file=file.name, workflow_ids=former)
            await self._definitions.mark_file(file.name, "missing", but=definition.id)
            self._try_waiting()

    async def _disable_missing(self, present: set[str]) -> None:
        gone = {
            head.source_path
            for head in self._definitions.heads()
            if head.source_path is not None and head.source_path not in present and head.sync_status != "missing"
        }
        for name in sorted(gone):
            log.warning("workflow_file_missing", file=name)
            await self._definitions.mark_file(name, "missing")
            self._try_waiting()
        self._seen = {name: seen for name, seen in self._seen.items() if name in present}
        self._waiting &= present

    def _try_waiting(self) -> None:
        for name in self._waiting:
            self._seen.pop(name, None)
        self._soon.set()


def _files(root: Path) -> list[Found]:
    """Every workflow file, by name. What goes while one looks is not there."""
    found: list[Found] = []
    resolved = root.resolve()
    for path in sorted(root.glob("*/workflows/*")):
        try:
            if not path.name.endswith(_SUFFIXES) or not path.is_file():
                continue
            status, inside = path.stat(), resolved in path.resolve().parents
        except OSError:
            continue
        name = path.relative_to(root).as_posix()
        found.append(Found(path, name, status.st_mtime_ns, status.st_size, inside))
    return found
