"""Servers as they live: started when needed, shared, lost, found again, and gone at the end."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from msgspec import UnsetType

from station.agent_runner.mcp import connection, session
from station.agent_runner.mcp.servers import McpServers
from station.agent_runner.mcp.tool import McpUnavailable, ToolResult
from station.agent_runner.redaction import Redactor
from tests.support.mcp_servers.house import ENVIRONMENT, Answering, HttpServer, lines, noted, program, write_servers
from tests.support.waiting import eventually

META = {"station/idempotencyKey": "run_1:step:1:1"}


async def call(servers: McpServers, server: str, tool: str, **arguments: Any) -> ToolResult:
    async with asyncio.timeout(30):
        return await servers.call(ENVIRONMENT, server, tool, arguments, meta=META)


async def structured(servers: McpServers, server: str, tool: str, **arguments: Any) -> dict[str, Any]:
    """What a tool gives as JSON."""
    result = await call(servers, server, tool, **arguments)
    assert not isinstance(result.structured, UnsetType), result
    return result.structured


async def lost(servers: McpServers, server: str = "tools", tool: str = "echo", **arguments: Any) -> str:
    """Why a server cannot be had."""
    with pytest.raises(McpUnavailable) as unavailable:
        await call(servers, server, tool, **arguments)
    return str(unavailable.value)


async def pid_of(servers: McpServers) -> int:
    return (await structured(servers, "tools", "environment"))["pid"]


async def gone(pid: int) -> None:
    await eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


async def test_tools_are_listed_with_their_schemas(servers: McpServers, server: str) -> None:
    tools = {tool.name: tool for tool in await servers.tools(ENVIRONMENT, server)}
    assert {"echo", "add", "slow", "fail", "crash", "count", "big"} <= set(tools)
    assert tools["add"].description == "Add two numbers."
    assert tools["add"].input_schema["required"] == ["a", "b"]
    assert tools["add"].output_schema is not None
    assert servers.known_tools(ENVIRONMENT, server) == tuple(tools.values())


async def test_results_of_every_kind(servers: McpServers, server: str) -> None:
    echoed = await structured(servers, server, "echo", value={"a": [1, None]})
    assert echoed["value"] == {"a": [1, None]}
    assert echoed["meta"]["station/idempotencyKey"] == "run_1:step:1:1"
    assert (await structured(servers, server, "add", a=1, b=2)) == {"sum": 3}
    assert await call(servers, server, "say", text="hello") == ToolResult(text="hello")
    assert len((await structured(servers, server, "big", size=3_000_000))["text"]) == 3_000_000


async def test_a_call_that_goes_wrong_is_an_error_of_the_tool(servers: McpServers, server: str) -> None:
    failed = await call(servers, server, "fail")
    assert failed.is_error
    assert "it broke" in failed.text
    unknown = await call(servers, server, "nonesuch")
    assert unknown.is_error
    assert "nonesuch" in unknown.text
    wrong = await call(servers, server, "add", a="x")
    assert wrong.is_error
    assert (await call(servers, server, "lies")).is_error
    assert (await call(servers, server, "say", text="alive")).text == "alive"


async def test_calls_run_side_by_side_on_one_session(servers: McpServers, server: str, effects: Path) -> None:
    slow = asyncio.create_task(call(servers, server, "slow", name="one"))
    await noted(effects, "one started")
    others = await asyncio.gather(*(structured(servers, server, "echo", value=n) for n in range(20)))
    assert [other["value"] for other in others] == list(range(20))
    assert len({other["pid"] for other in others}) == 1
    assert not slow.done()
    slow.cancel()
    await asyncio.wait({slow})


async def test_a_cancelled_call_is_cancelled_at_the_server(servers: McpServers, server: str, effects: Path) -> None:
    one, two = (asyncio.create_task(call(servers, server, "slow", name=name)) for name in ("one", "two"))
    await noted(effects, "one started")
    await noted(effects, "two started")
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    await noted(effects, "one cancelled")
    assert "two cancelled" not in lines(effects)
    assert not two.done()
    two.cancel()
    await asyncio.wait({two})


async def test_a_server_that_dies_fails_its_calls_and_is_started_again(
    servers: McpServers, root: Path, effects: Path
) -> None:
    write_servers(root, tools=program(effects))
    first = await pid_of(servers)
    slow = asyncio.create_task(lost(servers, tool="slow", name="one"))
    await noted(effects, "one started")
    said = await lost(servers, tool="crash")
    assert "MCP server 'tools' (test/mcp-servers/servers.json) was lost during a call of 'crash'" in said
    assert "its program has ended; the end of its stderr:" in said
    assert "the server is on fire" in said
    assert "was lost during a call of 'slow'" in await slow
    assert await pid_of(servers) != first


async def test_a_server_that_died_while_nobody_used_it_costs_no_call(servers: McpServers, root: Path) -> None:
    write_servers(root, tools=program())
    first = await pid_of(servers)
    os.kill(first, signal.SIGKILL)
    held = servers._connections[ENVIRONMENT, "tools"]._held  # pyright: ignore[reportPrivateUsage]
    assert held is not None
    await eventually(lambda: not held.session.alive)
    assert await pid_of(servers) != first


async def test_pauses_between_starts_grow_and_end_with_a_good_call(
    servers: McpServers, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "FIRST_PAUSE", 0.2)
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noting(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", noting)
    gate = root / "gate"
    code = f"import os, sys\nif not os.path.exists({str(gate)!r}): sys.exit('no')\nos.execv(sys.argv[1], sys.argv[1:])"
    real = program()
    write_servers(root, tools={**real, "args": ["-c", code, real["command"], *real["args"]]})
    for _ in range(3):
        assert "the end of its stderr:\nno" in await lost(servers)
    gate.touch()
    await pid_of(servers)
    await lost(servers, tool="crash")
    await pid_of(servers)
    first, second, third, fourth, after = pauses
    assert first == 0
    assert 0 < second < third < fourth
    assert 0 < after <= second * 2


async def test_a_changed_file_makes_a_new_session_while_calls_end_on_the_old_one(
    servers: McpServers, root: Path, effects: Path
) -> None:
    write_servers(root, tools=program(effects))
    first = await pid_of(servers)
    slow = asyncio.create_task(call(servers, "tools", "slow", name="one", seconds=1))
    await noted(effects, "one started")
    write_servers(root, tools=program(effects, env={"SECRET": "new"}))
    echoed = await structured(servers, "tools", "echo")
    assert (echoed["secret"], echoed["pid"] != first) == ("new", True)
    assert (await slow).text == "one"
    await gone(first)


async def test_a_server_that_nobody_uses_is_closed(root: Path) -> None:
    servers = McpServers(root, idle_seconds=0.1)
    write_servers(root, tools=program())
    first = await pid_of(servers)
    await gone(first)
    assert await pid_of(servers) != first
    await servers.close()


async def test_closing_leaves_no_process(root: Path, effects: Path) -> None:
    servers = McpServers(root)
    write_servers(root, tools=program(effects))
    pid = await pid_of(servers)
    slow = asyncio.create_task(lost(servers, tool="slow"))
    await noted(effects, "slow started")
    await servers.close()
    assert not psutil.pid_exists(pid)
    await slow
    assert "the runner stops" in await lost(servers)


async def test_closing_while_a_server_starts_leaves_no_process(root: Path, tmp_path: Path) -> None:
    servers = McpServers(root)
    pipe = tmp_path / "pid"
    code = f"import os, time; open({str(pipe)!r}, 'w').write(str(os.getpid())); time.sleep(3600)"
    real = program()
    write_servers(root, tools={**real, "args": ["-c", code]})
    asking = asyncio.create_task(servers.tools(ENVIRONMENT, "tools"))
    pid = int(await eventually(lambda: pipe.exists() and pipe.read_text()))
    await servers.close()
    assert not psutil.pid_exists(pid)
    await asyncio.wait({asking})


async def test_a_program_that_never_speaks_is_ended_and_not_said_to_have_ended(
    servers: McpServers, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "START_SECONDS", 0.5)
    pipe = tmp_path / "pid"
    code = f"import os, time; open({str(pipe)!r}, 'w').write(str(os.getpid())); time.sleep(3600)"
    write_servers(root, tools={**program(), "args": ["-c", code]})
    said = await lost(servers)
    assert "cannot be started: it did not begin to speak within 0.5 s; it wrote nothing to stderr" in said
    assert not pipe.exists() or not psutil.pid_exists(int(pipe.read_text()))


async def test_a_program_sees_little_of_the_runner(
    servers: McpServers, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET", "secret")
    monkeypatch.setenv("USER", "somebody")
    monkeypatch.setenv("TZ", "UTC")
    write_servers(root, tools=program(env={"GREETING": "hi", "TERM": "dumb"}))
    seen = await structured(servers, "tools", "environment")
    variables = {name: seen["variables"].get(name) for name in ("AWS_SECRET", "USER", "TZ", "GREETING", "TERM")}
    assert variables == {"AWS_SECRET": None, "USER": None, "TZ": "UTC", "GREETING": "hi", "TERM": "dumb"}
    assert seen["variables"]["PATH"] == os.environ["PATH"]
    assert seen["cwd"] == str(root / ENVIRONMENT)
    assert seen["group"] == seen["pid"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"command": "no-such-program"}, "the program 'no-such-program' was not found on PATH"),
        ({"command": "./no-such-program"}, "cannot start ./no-such-program: No such file"),
        ({"command": "sh", "cwd": "nowhere"}, "does not exist; correct `cwd`"),
        (
            {"command": "sh", "args": ["-c", "echo boom >&2; exit 3"]},
            "its program has ended; the end of its stderr:\nboom",
        ),
        ({"command": "true"}, "its program has ended; it wrote nothing to stderr"),
    ],
)
async def test_a_program_that_cannot_be_started_says_why(
    servers: McpServers, root: Path, settings: dict[str, Any], said: str
) -> None:
    write_servers(root, tools=settings)
    with pytest.raises(McpUnavailable) as unavailable:
        await servers.tools(ENVIRONMENT, "tools")
    assert "MCP server 'tools' (test/mcp-servers/servers.json) cannot be started" in str(unavailable.value)
    assert said in str(unavailable.value)
    assert servers.trouble(ENVIRONMENT, "tools") == str(unavailable.value)


async def test_secrets_are_struck_out_of_what_a_server_says(root: Path) -> None:
    servers = McpServers(root, redactor=Redactor(), variables={**os.environ, "TOKEN": "very-secret-value"})
    write_servers(root, tools={"command": "sh", "args": ["-c", "echo wrong token $T >&2"], "env": {"T": "${TOKEN}"}})
    said = await lost(servers)
    assert "wrong token [redacted]" in said
    assert "very-secret-value" not in said + str(servers.trouble(ENVIRONMENT, "tools"))
    await servers.close()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "it refused us (HTTP 401); look at `headers`"),
        (403, "it refused us (HTTP 403); look at `headers`"),
        (404, "there is no MCP endpoint (HTTP 404)"),
        (500, "it answered HTTP 500; look at the server's own log"),
        (503, "it answered HTTP 503"),
    ],
)
async def test_an_address_that_refuses_says_what_to_look_at(
    servers: McpServers, root: Path, status: int, said: str
) -> None:
    async with Answering(status) as url:
        write_servers(root, tools={"url": url})
        why = await lost(servers)
    assert "MCP server 'tools' (test/mcp-servers/servers.json)" in why
    assert said in why


async def test_an_error_of_the_protocol_is_told_as_the_server_words_it(servers: McpServers, root: Path) -> None:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32601, "message": "nothing like that here"}}
    async with Answering(404, json.dumps(error)) as url:
        write_servers(root, tools={"url": url})
        assert "nothing like that here" in await lost(servers)


async def test_nobody_at_the_address(servers: McpServers, root: Path) -> None:
    write_servers(root, tools={"url": "http://127.0.0.1:1/mcp?key=1"})
    said = await lost(servers)
    assert "at http://127.0.0.1:1/mcp: " in said
    assert "is it running, and is `url` right?" in said


async def test_a_lost_connection_fails_the_call_and_the_server_is_used_again_when_it_is_back(
    servers: McpServers, root: Path, http: HttpServer, effects: Path
) -> None:
    write_servers(root, tools={"url": http.url, "headers": {"X-Key": "v"}})
    slow = asyncio.create_task(lost(servers, tool="slow", name="one"))
    await noted(effects, "one started")
    http.kill()
    assert "was lost during a call of 'slow'" in await slow
    http.start()
    assert (await call(servers, "tools", "say", text="back")).text == "back"


@pytest.fixture
async def two(root: Path, effects: Path) -> AsyncIterator[McpServers]:
    """Two environments with one name."""
    write_servers(root, tools=program(env={"SECRET": "one"}))
    write_servers(root, environment="other", tools=program(env={"SECRET": "two"}))
    servers = McpServers(root)
    yield servers
    await servers.close()


async def test_environments_share_nothing(two: McpServers) -> None:
    one, other = [await two.call(name, "tools", "echo", {}, meta={}) for name in (ENVIRONMENT, "other")]
    assert '"secret": "one"' in one.text
    assert '"secret": "two"' in other.text
