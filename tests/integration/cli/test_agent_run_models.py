"""`stn agent run` with a model over HTTP, and with tools of an MCP server."""

import asyncio
import json
import subprocess
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.test_agent_run import run_stn
from tests.support.agent_files import write_agent
from tests.support.mcp_servers.house import program, write_servers
from tests.support.openai_double import OpenAIDouble, Reply, refused

ADDER = """
    ---
    model: openai/gpt-4o
    tools: [tools__add]
    ---
    Add {{a}} and {{b}}.
"""
DIRECT = """
    ---
    model: tool/tools__add
    ---
"""


@pytest.fixture
async def double() -> AsyncGenerator[OpenAIDouble]:
    async with OpenAIDouble().running() as double:
        yield double


@pytest.fixture
def run(tmp_path: Path, double: OpenAIDouble) -> Callable[..., Any]:
    """One agent; its model is the double, its tools are those of a real server."""
    write_servers(tmp_path, tools=program())
    write_agent(tmp_path, "adder", ADDER)
    write_agent(tmp_path, "direct", DIRECT)

    async def stn(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        settings = {"STATION_OPENAI_BASE_URL": double.url, **more}
        return await asyncio.to_thread(run_stn, tmp_path, *arguments, **settings)

    return stn


async def test_a_model_is_heard_its_tools_are_shown_and_what_it_cost(
    run: Callable[..., Any], double: OpenAIDouble
) -> None:
    double.replies.extend([Reply(calls=(("tools__add", {"a": 2, "b": 3}),)), Reply(text="It is five.")])
    done = await run("adder", "-i", "a=2", "-i", "b=3")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == "It is five."
    told = done.stderr.splitlines()
    assert told[0] == 'adder → tools__add {"a":2,"b":3}'
    assert told[1].startswith('adder ← tools__add {"sum":5}')
    assert told[2] == "It is five."
    assert told[3].startswith("openai/gpt-4o: 2 requests, 22 tokens in, 14 out, $0.0")
    assert ", 1 tool call, " in told[3]


async def test_a_model_that_refuses_is_a_failure(run: Callable[..., Any], double: OpenAIDouble) -> None:
    double.otherwise = lambda _: refused(401, "wrong key", "invalid_api_key")
    done = await run("adder", "-i", "a=2", "-i", "b=3", STATION_OPENAI_API_KEY="sk-very-secret-key")
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: agent_error: " in done.stderr
    assert "very-secret" not in done.stderr


async def test_without_a_key_it_says_which_setting_is_missing(run: Callable[..., Any]) -> None:
    done = await run("adder", "-i", "a=2", "-i", "b=3", STATION_OPENAI_BASE_URL="")
    assert done.returncode == 1
    assert "STATION_OPENAI_API_KEY" in done.stderr


async def test_one_tool_is_an_agent(run: Callable[..., Any]) -> None:
    done = await run("direct", "-i", "a=2", "-i", "b=3")
    assert (done.returncode, json.loads(done.stdout or "null")) == (0, {"sum": 5}), done.stderr
