"""A real MCP server of the tests: ``python tools.py stdio`` or ``python tools.py http PORT``.

``EFFECTS`` names a file to which tools append a line about what they do.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import CallToolResult, TextContent
from pydantic import BaseModel

server = MCPServer("tools")


class Sum(BaseModel):
    sum: int


def note(line: str) -> None:
    if effects := os.environ.get("EFFECTS"):
        with Path(effects).open("a") as file:
            file.write(line + "\n")


@server.tool()
async def echo(context: Context, value: Any = None) -> dict[str, Any]:
    """Give back what came."""
    meta = context.request_context.meta
    return {"value": value, "meta": dict(meta or {}), "pid": os.getpid(), "secret": os.environ.get("SECRET")}


@server.tool()
async def environment() -> dict[str, Any]:
    """What the program sees."""
    return {"variables": dict(os.environ), "cwd": str(Path.cwd()), "group": os.getpgid(0), "pid": os.getpid()}


@server.tool()
async def add(a: int, b: int) -> Sum:
    """Add two numbers."""
    return Sum(sum=a + b)


@server.tool()
async def say(text: str) -> CallToolResult:
    """Give back a text."""
    return CallToolResult(content=[TextContent(text=text)])


@server.tool()
async def slow(name: str = "slow", seconds: float = 3600) -> str:
    """Take a while, and write down what happens."""
    note(f"{name} started")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        note(f"{name} cancelled")
        raise
    note(f"{name} finished")
    return name


@server.tool()
async def fail(reason: str = "it broke") -> CallToolResult:
    """Fail."""
    return CallToolResult(content=[TextContent(text=reason)], is_error=True)


@server.tool()
async def crash() -> str:
    """End the whole program."""
    print("the server is on fire", file=sys.stderr, flush=True)
    os._exit(3)


@server.tool()
async def count(context: Context, seconds: float = 0, until: str | None = None) -> dict[str, Any]:
    """Write down the idempotency key, then take a while, or wait for a file."""
    key = (context.request_context.meta or {}).get("station/idempotencyKey")
    note(str(key))
    await asyncio.sleep(seconds)
    while until is not None and not Path(until).exists():  # noqa: ASYNC110, ASYNC240 - another process makes it
        await asyncio.sleep(0.02)
    return {"key": key}


@server.tool()
async def big(size: int) -> dict[str, Any]:
    """Give back a lot."""
    return {"text": "x" * size}


@server.tool()
async def lies() -> Sum:
    """Promise a sum and give something else."""
    return CallToolResult(content=[TextContent(text="no sum")], structured_content={"sum": "seven"})  # pyright: ignore[reportReturnType]


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
