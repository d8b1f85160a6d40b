"""Real MCP servers, over stdio and HTTP, on the loop that the service runs on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop

from station.agent_runner.mcp.servers import McpServers
from tests.support.mcp_servers.house import HttpServer, program, write_servers


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def effects(tmp_path: Path) -> Path:
    """The file into which tools write what they do."""
    return tmp_path / "effects"


@pytest.fixture
def http(effects: Path) -> Iterator[HttpServer]:
    server = HttpServer(effects)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "environments"


@pytest.fixture
async def servers(root: Path) -> AsyncIterator[McpServers]:
    """Of an environment that is empty yet."""
    made = McpServers(root)
    yield made
    await made.close()


@pytest.fixture(params=["stdio", "http"])
def server(request: pytest.FixtureRequest, root: Path, effects: Path) -> str:
    """The name of the real server, reached in either way."""
    if request.param == "stdio":
        write_servers(root, tools=program(effects))
    else:
        write_servers(root, tools={"url": request.getfixturevalue("http").url})
    return "tools"
