"""Read-only connections, each in a thread of its own. Reads are short, so that the log of the writer can be folded."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiosqlite

from station.scheduler.store.database import open_reader, reader_uri

Row = tuple[Any, ...]


class Reader:
    """A few aiosqlite connections that cannot write, and one for look-ups that are quicker than a thread is woken."""

    def __init__(self, connections: list[aiosqlite.Connection], quick: sqlite3.Connection) -> None:
        self._connections = connections
        self._quick = quick
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
        quick = open_reader(database)
        quick.execute("PRAGMA busy_timeout=0")
        return cls(connections, quick)

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

    async def keyed(self, sql: str, parameters: Sequence[Any]) -> Row | None:
        """Give a row by its key. Only for queries that read a page or two: they run in the loop's own thread."""
        try:
            return self._quick.execute(sql, parameters).fetchone()
        except sqlite3.OperationalError:  # busy: waiting is for threads
            return await self.row(sql, parameters)

    async def close(self) -> None:
        """Close every connection."""
        for connection in self._connections:
            with contextlib.suppress(sqlite3.Error, ValueError):
                await connection.close()
        self._quick.close()
