"""The MCP servers of one runner: started at the first use, shared by all attempts, ended with the runner."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from msgspec import Struct

from station.agent_runner.late_import import late_import
from station.agent_runner.mcp.config import Server, Servers, read_servers, stamp
from station.agent_runner.mcp.connection import Connection, Session
from station.agent_runner.mcp.tool import McpUnavailable, NotConfigured, Tool, ToolResult
from station.agent_runner.redaction import Redactor
from station.core.findings import near_names

T = TypeVar("T")
IDLE_SECONDS = 600.0
_SESSIONS = "station.agent_runner.mcp.session"


class _Read(Struct, frozen=True):
    stamp: tuple[object, ...]
    servers: Servers


class McpServers:
    """All servers of all environments."""

    def __init__(
        self,
        root: Path,
        *,
        redactor: Redactor | None = None,
        variables: Mapping[str, str] = os.environ,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._root = root.absolute()
        self._redactor = redactor or Redactor()
        self._variables = variables
        self._idle_seconds = idle_seconds
        self._read: dict[str, _Read] = {}
        self._kept: dict[Path, object] = {}
        """What files said when they could be read last."""
        self._connections: dict[tuple[str, str], Connection] = {}
        self._retired: list[Connection] = []
        self._closed = False

    def configured(self, environment: str) -> Servers:
        """What an environment has, as its files say now."""
        now = stamp(self._root, environment)
        read = self._read.get(environment)
        if read is None or read.stamp != now:
            servers = read_servers(self._root, environment, self._variables, self._redactor.learn, self._kept)
            read = self._read[environment] = _Read(now, servers)
            self._retire_changed(environment, servers)
        return read.servers

    def trouble(self, environment: str, server: str) -> str | None:
        """Why a server could not be asked for its tools the last time; None if it answered, or was not asked."""
        connection = self._connections.get((environment, server))
        return connection.trouble if connection is not None else None

    def known_tools(self, environment: str, server: str) -> tuple[Tool, ...] | None:
        """The tools as they were listed last under the settings of now; None if they were not."""
        connection = self._connections.get((environment, server))
        return connection.tools if connection is not None else None

    async def tools(self, environment: str, server: str) -> tuple[Tool, ...]:
        """Ask a server for its tools. Raises McpUnavailable."""
        connection = self._connection(environment, server)
        try:
            tools = await self._said(connection.use(lambda session: session.tools()))
        except McpUnavailable as error:
            connection.trouble = str(error)
            raise
        connection.tools, connection.trouble = tools, None
        return tools

    async def call(
        self, environment: str, server: str, tool: str, arguments: dict[str, Any], *, meta: dict[str, Any]
    ) -> ToolResult:
        """Call one tool. Cancelled, the tool is cancelled at the server, too.

        Raises:
            McpUnavailable: the server cannot be started, or was lost during the call.
        """
        connection = self._connection(environment, server)
        return await self._said(connection.use(lambda session: session.call(tool, arguments, meta)))

    async def close(self) -> None:
        """End every session and every program; none is started any more."""
        self._closed = True
        connections = [*self._connections.values(), *self._retired]
        self._connections.clear()
        self._retired.clear()
        await asyncio.gather(*(connection.close() for connection in connections))

    async def _said(self, work: Awaitable[T]) -> T:
        """What a server said may hold what it was given to keep."""
        try:
            return await work
        except McpUnavailable as error:
            raise type(error)(self._redactor.text(str(error))) from error

    def _connection(self, environment: str, name: str) -> Connection:
        servers = self.configured(environment)
        server = servers.servers.get(name)
        if server is None:
            raise _not_configured(environment, name, servers)
        if self._closed:
            message = f"MCP server {name!r} is not started: the runner stops"
            raise McpUnavailable(message)
        key = (environment, name)
        if key not in self._connections:
            self._connections[key] = Connection(server, _open, self._idle_seconds)
        return self._connections[key]

    def _retire_changed(self, environment: str, servers: Servers) -> None:
        """Calls under way end on the old session; the next one gets a new one."""
        self._retired = [connection for connection in self._retired if connection.open]
        for key, connection in list(self._connections.items()):
            if key[0] == environment and servers.servers.get(key[1]) != connection.server:
                del self._connections[key]
                connection.retire()
                self._retired.append(connection)


def _not_configured(environment: str, name: str, servers: Servers) -> NotConfigured:
    if name in servers.unusable:
        why = servers.unusable[name]
        return NotConfigured(f"MCP server {name!r} of environment {environment!r} cannot be used: {why}")
    near = near_names(name, servers.names)
    meant = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(servers.names) or 'none'}"
    return NotConfigured(f"environment {environment!r} has no MCP server {name!r}; {meant}")


async def _open(server: Server) -> Session:
    """Reach a server. What that needs is imported by the first who needs it."""
    try:
        module = await late_import(_SESSIONS)
    except ImportError as error:
        message = f"MCP server {server.name!r} cannot be used: this runner lacks a package ({error}); install it anew"
        raise McpUnavailable(message) from error
    session = module.Session(server)
    await session.open()
    return cast("Session", session)
