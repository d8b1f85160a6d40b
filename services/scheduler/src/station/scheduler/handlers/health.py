"""The doctor over the bus: the same examination as on a store that nobody serves, on a read-only connection."""

from __future__ import annotations

import asyncio
from pathlib import Path

from station.contracts.health import DoctorReport, RunDoctor
from station.runtime.rpc import RpcContext
from station.scheduler.engine.doctor import examine
from station.scheduler.store.database import open_reader
from station.scheduler.store.writer import Writer


class Doctor:
    """Examines the store on request, one examination at a time."""

    def __init__(self, database: Path, writer: Writer) -> None:
        self._database = database
        self._writer = writer
        self._turn = asyncio.Lock()

    async def examine(self, request: RunDoctor, _: RpcContext) -> DoctorReport:
        """Check the newest runs."""
        async with self._turn:
            await self._writer.barrier()
            return await asyncio.to_thread(self._examine, request.limit)

    def _examine(self, limit: int) -> DoctorReport:
        connection = open_reader(self._database)
        try:
            return examine(connection, limit)
        finally:
            connection.close()
