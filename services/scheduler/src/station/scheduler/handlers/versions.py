"""Versions of agents, by digest: what a run is bound to can be had again, by any runner, after any edit."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from station.contracts.agents import AgentVersion, GetVersion, KeepVersions
from station.contracts.work import Done
from station.runtime.rpc import RpcContext, refuse
from station.scheduler.engine.engine import NotStored
from station.scheduler.handlers import refusals
from station.scheduler.store.reader import Reader
from station.scheduler.store.writer import Unit, Writer

_DIGESTS = "SELECT digest FROM agent_versions"
_GET = "SELECT version FROM agent_versions WHERE digest = ?"
_KEEP = """
INSERT INTO agent_versions (digest, environment, name, version, kept_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (digest) DO NOTHING
"""


class Versions:
    """The versions that are stored. One that is there never changes."""

    def __init__(self, writer: Writer, reader: Reader, now: Callable[[], int]) -> None:
        self._writer = writer
        self._reader = reader
        self._now = now
        self._digests: set[str] = set()

    async def load(self) -> None:
        """Take up what the store holds."""
        self._digests = {digest for (digest,) in await self._reader.rows(_DIGESTS)}

    def missing(self, digests: Iterable[str]) -> tuple[str, ...]:
        """Give those that are not stored."""
        return tuple(sorted(set(digests) - self._digests))

    async def keep(self, request: KeepVersions, _: RpcContext) -> Done:
        """Store versions."""
        unit, now = Unit(), self._now()
        for version in request.versions:
            text = msgspec.json.encode(version).decode()
            unit.add(_KEEP, (version.digest, version.environment, version.name, text, now))
        try:
            await self._writer.submit(unit)
        except Exception as error:
            raise refusals.not_stored(NotStored(str(error))) from error
        self._digests.update(version.digest for version in request.versions)
        return Done()

    async def get(self, request: GetVersion, _: RpcContext) -> AgentVersion:
        """Give a version, or refuse with 404."""
        row = await self._reader.row(_GET, (request.digest,))
        if row is None:
            raise refuse(
                404,
                "agent_version_not_found",
                f"No version {request.digest!r} of an agent is stored. It was announced by a runner that never sent it;"
                " start that runner again, or start the run anew.",
            )
        return msgspec.json.decode(row[0], type=AgentVersion)
