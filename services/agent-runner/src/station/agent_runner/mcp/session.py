"""A live session with one server, over fastmcp. Imported late, and in a thread: it costs seconds and 100 MB.

The rule: everything that goes wrong with the server becomes `McpUnavailable`; everything that goes wrong with one call,
while the server lives on, becomes a `ToolResult` with ``is_error``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from time import monotonic
from typing import Any, TypeAlias, Unpack, cast

import anyio
import fastmcp
import httpx2
import mcp_types
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from fastmcp import Client
from fastmcp.client.logging import LogMessage
from fastmcp.client.transports import ClientTransport, StreamableHttpTransport
from fastmcp.client.transports.base import SessionKwargs, TransportOptions
from mcp import ClientSession, MCPError, StdioServerParameters
from mcp.client.stdio import DEFAULT_INHERITED_ENV_VARS, stdio_client
from mcp.shared.message import SessionMessage
from msgspec import UNSET

from station.agent_runner.mcp.config import SHARED, Child, Remote, Server
from station.agent_runner.mcp.stderr_tail import StderrTail
from station.agent_runner.mcp.tool import McpUnavailable, Tool, ToolResult
from station.runtime.logging import get_logger

log = get_logger("mcp")
START_SECONDS = 30.0
LISTED_SECONDS = 60.0
CONNECT_SECONDS = 10.0
CALL_SECONDS = 3600.0
"""How long a server over HTTP may say nothing during a call. A step's own timeout is shorter, as a rule."""
MAX_EVENT_BYTES = 16 << 20
_PROTOCOL = b'"jsonrpc"'
LAUNCHER = Path(__file__).with_name("launch.py")
_Incoming: TypeAlias = SessionMessage | Exception
fastmcp.settings.client_disconnect_timeout = 15.0
"""More than it takes from closing a program's stdin to killing it: a client that gives up before leaves it behind."""
_logged = logging.getLogger("fastmcp")
_logged.handlers.clear()  # it prints for people, with colours; what it says is for the log
_logged.propagate = True


class Session:
    """One server, reached. Several calls may be under way at once."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._listed: tuple[Tool, ...] | None = None
        self._listed_at = 0.0
        self._transport: _Program | _Http = (
            _Program(server.reach) if isinstance(server.reach, Child) else _Http(server.reach)
        )
        self._client: Client[Any] = Client(
            self._transport.transport, name=server.name, init_timeout=START_SECONDS, log_handler=self._heard
        )

    @property
    def alive(self) -> bool:
        """False once it is known to be lost."""
        return self._client.is_connected() and not self._transport.lost

    async def open(self) -> None:
        """Start or reach the server. Raises McpUnavailable."""
        self._transport.check(self.server)
        entering = asyncio.ensure_future(self._client.__aenter__())
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            # Cancelled itself it would leave its program behind; cut off it ends it.
            self._transport.cut_off(entering)
            await asyncio.wait({entering})
            if not entering.cancelled():
                entering.exception()  # nobody else hears of it
            raise
        except Exception as error:
            silent = isinstance(_first_cause(error), TimeoutError)
            why = TimeoutError(f"it did not begin to speak within {START_SECONDS:g} s") if silent else error
            raise self._unavailable("cannot be started", why) from error

    async def tools(self) -> tuple[Tool, ...]:
        """All tools that it has, as they were at most `LISTED_SECONDS` ago. Raises McpUnavailable."""
        if self._listed is None or monotonic() - self._listed_at > LISTED_SECONDS:
            self._listed, self._listed_at = await self._list(), monotonic()
        return self._listed

    async def _list(self) -> tuple[Tool, ...]:
        try:
            found = await self._client.list_tools()
        except Exception as error:
            raise self._unavailable("does not list its tools", error) from error
        return tuple(
            Tool(
                name=tool.name,
                description=tool.description or "",
                input_schema=tool.input_schema,
                output_schema=tool.output_schema,
            )
            for tool in found
        )

    async def call(self, tool: str, arguments: dict[str, Any], meta: dict[str, Any]) -> ToolResult:
        """Call one tool; cancelled, it tells the server. Raises McpUnavailable when the server is lost."""
        try:
            result = await self._client.call_tool_mcp(tool, arguments, meta=meta)
        except Exception as error:
            if self._is_about_the_call(error):
                return ToolResult(text=str(error), is_error=True)
            raise self._unavailable(f"was lost during a call of {tool!r}", error) from error
        return ToolResult(
            structured=UNSET if result.structured_content is None else result.structured_content,
            text="\n".join(_text(block) for block in result.content),
            is_error=result.is_error,
        )

    async def close(self) -> None:
        """End the session, and the program if it is one."""
        with contextlib.suppress(Exception):
            await self._client.close()

    async def _heard(self, message: LogMessage) -> None:
        """What a server tells of itself is for those who look closely."""
        log.debug("mcp_server_says", server=self.server.name, level=message.level, data=message.data)

    def _is_about_the_call(self, error: Exception) -> bool:
        if not self.alive or self._transport.trouble is not None:
            return False
        if isinstance(error, MCPError):
            return error.error.code not in {mcp_types.CONNECTION_CLOSED, mcp_types.REQUEST_TIMEOUT}
        # A result that breaks the tool's own output schema.
        return isinstance(error, RuntimeError)

    def _unavailable(self, what: str, error: Exception) -> McpUnavailable:
        why = self._transport.reason(error)
        return McpUnavailable(f"MCP server {self.server.name!r} ({self.server.file}) {what}: {why}")


class _Program:
    """A server that is a program: started by `LAUNCHER`, in a process group of its own, with a minimal environment."""

    trouble: str | None = None

    def __init__(self, child: Child) -> None:
        self._child = child
        self._tail: StderrTail | None = None
        self._heard: MemoryObjectSendStream[_Incoming] | None = None
        self.lost = False
        """Nothing more is heard from it."""
        self._ended = False
        """It has closed its stdout by itself: it has ended, or is about to."""
        self.transport = _ProgramTransport(self)

    def check(self, server: Server) -> None:
        """Raise McpUnavailable for what can be said better before the start than after it."""
        child = self._child
        where = f"MCP server {server.name!r} ({server.file}) cannot be started:"
        if not child.cwd.is_dir():
            raise McpUnavailable(f"{where} its folder {child.cwd} does not exist; correct `cwd`")
        if "/" not in child.command and shutil.which(child.command, path=self._environment().get("PATH")) is None:
            hint = "install it, or write its full path in `command`"
            raise McpUnavailable(f"{where} the program {child.command!r} was not found on PATH; {hint}")

    def reason(self, error: Exception) -> str:
        """Why it went wrong, in words."""
        said = self._tail.text if self._tail is not None else ""
        first = "its program has ended" if self._ended else _words(error)
        return f"{first}; the end of its stderr:\n{said}" if said else f"{first}; it wrote nothing to stderr"

    def cut_off(self, _entering: asyncio.Future[Any]) -> None:
        """Have a start that is under way fail: the client hears no more from the program."""
        self.lost = True
        if self._heard is not None:
            self._heard.close()

    @contextlib.asynccontextmanager
    async def streams(
        self,
    ) -> AsyncGenerator[tuple[MemoryObjectReceiveStream[_Incoming], MemoryObjectSendStream[SessionMessage]]]:
        """Run the program meanwhile."""
        tail = self._tail = StderrTail()
        try:
            async with stdio_client(self._parameters(), errlog=cast("Any", tail.writer)) as (read, write):
                tail.writer.close()
                async with anyio.create_task_group() as group:
                    yield self._watched(read, group), cast("MemoryObjectSendStream[SessionMessage]", write)
                    group.cancel_scope.cancel()
        finally:
            tail.close()

    def _watched(self, read: Any, group: TaskGroup) -> MemoryObjectReceiveStream[_Incoming]:
        """Pass on what comes, and notice the end of it."""
        sender, receiver = anyio.create_memory_object_stream[_Incoming](0)
        self._heard = sender
        if self.lost:
            sender.close()

        async def pump() -> None:
            try:
                async with sender:
                    async for message in read:
                        await sender.send(message)
                self._ended = True
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass
            finally:
                self.lost = True

        group.start_soon(pump)
        return receiver

    def _environment(self) -> dict[str, str]:
        return {**{name: os.environ[name] for name in SHARED if name in os.environ}, **self._child.env}

    def _parameters(self) -> StdioServerParameters:
        child, environment = self._child, self._environment()
        unwanted = [name for name in DEFAULT_INHERITED_ENV_VARS if name not in environment]
        launcher = ["-I", "-S", str(LAUNCHER), str(os.getpid()), ",".join(unwanted), child.command, *child.args]
        return StdioServerParameters(command=sys.executable, args=launcher, env=environment, cwd=child.cwd)


class _ProgramTransport(ClientTransport):
    """How fastmcp sees a `_Program`."""

    def __init__(self, program: _Program) -> None:
        self._program = program

    @contextlib.asynccontextmanager
    async def connect_session(
        self, *, transport_options: TransportOptions | None = None, **session_kwargs: Unpack[SessionKwargs]
    ) -> AsyncGenerator[ClientSession]:
        options = transport_options or TransportOptions()
        async with (
            self._program.streams() as (read, write),
            options.session_class(read, write, **session_kwargs) as session,
        ):
            yield session


class _Http:
    """A server over streamable HTTP."""

    lost = False

    def __init__(self, remote: Remote) -> None:
        self._url = remote.url
        self.trouble: str | None = None
        self.transport = StreamableHttpTransport(
            remote.url,
            headers=dict(remote.headers),
            httpx_client_factory=cast("Any", self._http_client),
            max_sse_event_size=MAX_EVENT_BYTES,
        )

    def check(self, server: Server) -> None:
        """Nothing can be said before it is tried."""

    def cut_off(self, entering: asyncio.Future[Any]) -> None:
        """End a start that is under way."""
        entering.cancel()

    def reason(self, error: Exception) -> str:
        """Why it went wrong, in words."""
        why = self.trouble or f"{_words(error)}; is it running, and is `url` right?"
        return f"at {_without_query(self._url)}: {why}"

    def _http_client(self, **options: Any) -> httpx2.AsyncClient:
        options["timeout"] = httpx2.Timeout(CONNECT_SECONDS, read=CALL_SECONDS)
        options["event_hooks"] = {"response": [self._look]}
        return httpx2.AsyncClient(**options)

    async def _look(self, response: httpx2.Response) -> None:
        """The protocol's own errors do not say what HTTP has said."""
        if response.request.method == "POST":
            own_error = response.status_code >= 400 and _PROTOCOL in await response.aread()
            self.trouble = None if own_error else _status_words(response.status_code)


def _status_words(status: int) -> str | None:
    if status in {401, 403}:
        return f"it refused us (HTTP {status}); look at `headers` and at the variables in it"
    if status in {404, 405}:
        return f"there is no MCP endpoint (HTTP {status}), or it has forgotten the session; look at `url`"
    if status == 429 or status >= 500:
        return f"it answered HTTP {status}; look at the server's own log"
    return None


def _words(error: BaseException) -> str:
    """What a failure says, of the first that is no mere group of others."""
    if isinstance(error, BaseExceptionGroup):
        return _words(cast("BaseExceptionGroup[BaseException]", error).exceptions[0])
    return str(error) or type(error).__name__


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _without_query(url: str) -> str:
    return url.partition("?")[0]


def _text(block: mcp_types.ContentBlock) -> str:
    if isinstance(block, mcp_types.TextContent):
        return block.text
    if isinstance(block, mcp_types.EmbeddedResource) and isinstance(block.resource, mcp_types.TextResourceContents):
        return block.resource.text
    return f"[{block.type}]"
