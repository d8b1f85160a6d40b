"""Read-only connections, each in a thread of its own. Reads are short, so that the log of the writer can be folded."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiosqlite

from station.scheduler.store.database import reader_uri

Row = tuple[Any, ...]


class Reader:
    """A few aiosqlite connections that cannot write."""

    def __init__(self, connections: list[aiosqlite.Connection]) -> None:
        self._connections = connections
        self._free: asyncio.LifoQueue[aiosqlite.Connection] = asyncio.LifoQueue()
        for connection in connections:
            self._free.put_nowait(connection)

    @classmethod
    async def open(cls, database: Path, size: int = 2) -> "Reader":
        """Open the connections; the file must exist."""
        connections: list[aiosqlite.Connection] = []
        for _ in range(size):
            connection = await aiosqlite.connect(reader_uri(database), uri=True, isolation_level=None)
            await connection.execute("PRAGMA busy_timeout=5000")
            connections.append(connection)
        return cls(connections)

    async def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Give every row of a query."""
        connection = await self._free.get()
        try:
            return [tuple(row) for row in await connection.execute_fetchall(sql, parameters)]
        finally:
            self._free.put_nowait(connection)

    async def row(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """Give the first row of a query, if there is one."""
        found = await self.rows(sql, parameters)
        return found[0] if found else None

    async def close(self) -> None:
        """Close every connection."""
        for connection in self._connections:
            with contextlib.suppress(sqlite3.Error, ValueError):
                await connection.close()
