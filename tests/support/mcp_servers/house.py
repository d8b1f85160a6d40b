"""Environments with MCP servers: what tests write, and a server over HTTP that they hold in their hands."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.support.waiting import eventually

ENVIRONMENT = "test"
TOOLS = Path(__file__).with_name("tools.py")
PATIENCE = 30.0


def program(effects: Path | None = None, **fields: Any) -> dict[str, Any]:
    """Settings of the real server over stdio."""
    env = {**({} if effects is None else {"EFFECTS": str(effects)}), **fields.pop("env", {})}
    return {"command": sys.executable, "args": [str(TOOLS), "stdio"], "env": env, **fields}


def write_servers(root: Path, file: str = "servers.json", environment: str = ENVIRONMENT, **servers: Any) -> Path:
    """Put a file of servers into an environment."""
    path = root / environment / "mcp-servers" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"mcpServers": servers}))
    new.rename(path)
    return path


async def noted(effects: Path, line: str) -> None:
    """Wait until a tool has written this line."""
    await eventually(lambda: line in lines(effects), PATIENCE)


def lines(effects: Path) -> list[str]:
    """What tools have written so far."""
    return effects.read_text().splitlines() if effects.exists() else []


class HttpServer:
    """The real server over streamable HTTP, in a process of its own."""

    def __init__(self, effects: Path) -> None:
        self._effects = effects
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def start(self) -> None:
        """Return when it listens."""
        env = {"PATH": os.environ["PATH"], "EFFECTS": str(self._effects)}
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            [sys.executable, str(TOOLS), "http", str(self.port)], env=env, stdout=quiet, stderr=quiet
        )
        deadline = time.monotonic() + PATIENCE
        while not self._listens():
            assert self._process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server does not listen"
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Answering:
    """An HTTP server that answers everything with one status."""

    def __init__(self, status: int, body: str = "") -> None:
        self.status = status
        self.body = body
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/mcp"

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {self.status} No\r\nContent-Type: application/json\r\nContent-Length: {len(self.body)}"
        writer.write(f"{head}\r\nConnection: close\r\n\r\n{self.body}".encode())
        await writer.drain()
        writer.close()
