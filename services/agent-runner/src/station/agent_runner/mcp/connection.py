"""The one connection to a server that all attempts share: opened at the first use, and anew when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from station.agent_runner.mcp.config import Server
from station.agent_runner.mcp.tool import McpUnavailable, Tool, ToolResult
from station.runtime.logging import get_logger

log = get_logger("mcp")
T = TypeVar("T")
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds between a failure and the next start; doubled with each failure, none after a good call."""


class Session(Protocol):
    """A live session, as `station.agent_runner.mcp.session` has it."""

    @property
    def alive(self) -> bool: ...
    async def tools(self) -> tuple[Tool, ...]: ...
    async def call(self, tool: str, arguments: dict[str, Any], meta: dict[str, Any]) -> ToolResult: ...
    async def close(self) -> None: ...


class _Held:
    """A session and how many use it now."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.users = 0


class Connection:
    """One server with one set of settings."""

    def __init__(self, server: Server, open_: Callable[[Server], Awaitable[Session]], idle_seconds: float) -> None:
        self.server = server
        self.tools: tuple[Tool, ...] | None = None
        """As they were listed last."""
        self.trouble: str | None = None
        """Why they could not be listed the last time."""
        self._open = open_
        self._idle_seconds = idle_seconds
        self._held: _Held | None = None
        self._starting: asyncio.Task[Session] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._retired = False
        self._failures = 0
        self._not_before = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def use(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Do something with a live session. Raises McpUnavailable."""
        self._stop_timer()
        held = await self._live()
        held.users += 1
        try:
            result = await work(held.session)
        except McpUnavailable as error:
            self._lost(held, error)
            raise
        finally:
            held.users -= 1
            self._rest(held)
        self._failures = 0
        return result

    @property
    def open(self) -> bool:
        """Whether there is, or may yet be, a session to be closed."""
        return self._held is not None or self._starting is not None or bool(self._closing) or self._waiting > 0

    def retire(self) -> None:
        """Close it as soon as nobody uses it: its settings are no longer true."""
        self._retired = True
        if self._held is not None:
            self._rest(self._held)

    async def close(self) -> None:
        """End everything now; calls under way fail."""
        self._retired = True
        self._stop_timer()
        if self._starting is not None:
            self._starting.cancel()  # once: a second time would keep it from ending its program
            await asyncio.wait({self._starting})
        if self._held is not None:
            self._close(self._held)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _live(self) -> _Held:
        if self._held is not None and not self._held.session.alive:
            self._lost(self._held, None)
        if self._held is None:
            if self._starting is None:
                self._starting = asyncio.create_task(self._start())
                self._starting.add_done_callback(self._started)
            starting = self._starting
            self._waiting += 1
            try:
                session = await asyncio.shield(starting)
            finally:
                self._waiting -= 1
            if self._held is None or self._held.session is not session:
                # Lost again before those who waited for it came to use it.
                return _Held(session)
        return self._held

    async def _start(self) -> Session:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._not_before - loop.time()))
        try:
            session = await self._open(self.server)
        except McpUnavailable:
            self._failed()
            raise
        log.info("mcp_server_started", environment=self.server.environment, server=self.server.name)
        return session

    def _started(self, starting: asyncio.Task[Session]) -> None:
        self._starting = None
        if not starting.cancelled() and starting.exception() is None:
            self._held = _Held(starting.result())
            if not self._waiting:
                self._rest(self._held)

    def _lost(self, held: _Held, error: McpUnavailable | None) -> None:
        """Of several who notice, the first is enough. Calls that still go on over it may end on it."""
        if held is not self._held:
            return
        self._failed()
        why = str(error) if error is not None else "it had ended"
        log.warning("mcp_server_lost", environment=self.server.environment, server=self.server.name, detail=why)
        self._held = None
        if not held.users:
            self._close(held)

    def _failed(self) -> None:
        pause = min(FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE)
        self._failures = min(self._failures + 1, 16)
        self._not_before = asyncio.get_running_loop().time() + pause

    def _rest(self, held: _Held) -> None:
        """Somebody needs it no more."""
        if held.users:
            return
        if self._retired or held is not self._held:
            self._close(held)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._idle)

    def _idle(self) -> None:
        self._timer = None
        if self._held is not None and not self._held.users:
            log.info("mcp_server_idle", environment=self.server.environment, server=self.server.name)
            self._close(self._held)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self, held: _Held) -> None:
        if held is self._held:
            self._held = None
        closing = asyncio.create_task(held.session.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
