"""Tools of real MCP servers, called by a model: one behind a real protocol, and a scripted one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from station.agent_runner.backends.registry import all_backends
from station.agent_runner.loop.equipment import Equipment, Pace
from station.agent_runner.loop.providers import Access, Providers
from station.agent_runner.mcp.servers import McpServers
from station.contracts.errors import ErrorType
from tests.support.backend_conformance import held_for
from tests.support.mcp_servers.house import lines, noted, program, write_servers
from tests.support.openai_double import OpenAIDouble, Reply
from tests.support.stage import Stage

MODEL = "model: openai/gpt-4o\n"


class House:
    """A stage with a model and a server of tools."""

    def __init__(self, stage: Stage, double: OpenAIDouble, effects: Path) -> None:
        self.stage = stage
        self.double = double
        self.effects = effects


@pytest.fixture
async def house(tmp_path: Path) -> AsyncGenerator[House]:
    root, effects = tmp_path / "environments", tmp_path / "effects"
    write_servers(root, tools=program(effects))
    servers = McpServers(root)
    async with OpenAIDouble().running() as double, contextlib.aclosing(_Closing(servers)):
        backends = all_backends(
            servers=servers,
            providers=Providers(openai=Access(base_url=double.url)),
            equipment=Equipment(pace=Pace(first_pause=0.001), servers=servers),
        )
        yield House(Stage(root, backends), double, effects)
        await backends.close()


class _Closing:
    def __init__(self, servers: McpServers) -> None:
        self._servers = servers

    async def aclose(self) -> None:
        await self._servers.close()


def scripted(*calls: str, answer: str = "done") -> str:
    return f"model: scripted\ntools: [tools__*]\nscripted: [{{calls: [{', '.join(calls)}], answer: {answer}}}]\n"


def results(stage: Stage) -> list[Any]:
    return [facts["result"] for kind, _, facts in stage.told.facts if kind == "tool_result"]


async def test_a_model_calls_tools_and_answers_from_what_they_say(house: House) -> None:
    house.double.script(
        Reply(calls=(("tools__add", {"a": 1, "b": 2}), ("tools__say", {"text": "hm"}))), Reply(text="3, hm")
    )
    held = held_for("subject")
    outcome = await house.stage.play(MODEL + "tools: [tools__add, 'tools__s*']", held)
    assert (outcome.output, outcome.error) == ("3, hm", None)
    assert sorted(house.double.requests[0].tools) == ["tools__add", "tools__say", "tools__slow"]
    assert [content for role, content in house.double.requests[1].roles if role == "tool"] == ['{"sum":3}', "hm"]
    assert held.meter.usage is not None
    assert (held.meter.usage.requests, held.meter.usage.tool_calls) == (2, 2)


async def test_each_call_carries_a_key_that_is_the_same_in_another_execution(house: House) -> None:
    agent = scripted("{tool: tools__count}", "[{tool: tools__count}, {tool: tools__count}]")
    keys = [f"run_1:{'5' * 32}:1:{number}" for number in (1, 2, 3)]
    for times in (1, 2):
        outcome = await house.stage.play(agent, held_for("subject"))
        assert outcome.error is None
        assert sorted(lines(house.effects)) == sorted(keys * times)


async def test_a_child_agents_calls_have_keys_of_their_own(house: House) -> None:
    house.stage.add("child", scripted("{tool: tools__count}"))
    calls = "[{tool: child, args: {task: a}}, {tool: child, args: {task: b}}]"
    outcome = await house.stage.play(f"model: scripted\nagents: [child]\nscripted: [{{calls: {calls}, answer: ok}}]")
    assert outcome.error is None
    assert lines(house.effects) == [f"run_1:{'5' * 32}:1:{number}:1" for number in (1, 2)]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("{tool: tools__fail, args: {reason: no luck}}", "no luck"),
        ("{tool: tools__add, args: {a: one, b: 2}}", "/a"),
        ("{tool: tools__lies}", "lies"),
    ],
)
async def test_what_goes_wrong_with_a_tool_is_told_to_the_model(house: House, call: str, said: str) -> None:
    outcome = await house.stage.play(scripted(call))
    assert outcome.output == "done"
    assert said in str(results(house.stage)[0])


async def test_a_server_that_dies_is_asked_once_more_and_then_it_is_a_tool_error(house: House) -> None:
    outcome = await house.stage.play(scripted("{tool: tools__crash}"))
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.retryable) == (ErrorType.TOOL_ERROR, True)
    assert house.stage.told.kinds.count("retry") == 1
    assert (await house.stage.play(scripted("{tool: tools__add, args: {a: 1, b: 2}}"))).output == "done"


@pytest.mark.parametrize("depth", ["own", "child"])
async def test_cancelling_reaches_the_tool(house: House, depth: str) -> None:
    agent = scripted("{tool: tools__slow}")
    if depth == "child":
        house.stage.add("child", agent)
        agent = "model: scripted\nagents: [child]\nscripted: [{calls: [{tool: child, args: {task: a}}], answer: ok}]\n"
    working = asyncio.create_task(house.stage.play(agent))
    await noted(house.effects, "slow started")
    working.cancel()
    await noted(house.effects, "slow cancelled")
    with pytest.raises(asyncio.CancelledError):
        await working
    told = house.stage.told
    assert told.kinds.count("tool_call") == told.kinds.count("tool_result") == len(results(house.stage))
    assert set(results(house.stage)) == {"stopped"}


async def test_time_that_runs_out_reaches_the_tool(house: House) -> None:
    await house.stage.play(scripted("{tool: tools__say, args: {text: awake}}"))
    outcome = await house.stage.play(scripted("{tool: tools__slow}"), held_for("subject", timeout=2))
    assert outcome.error is not None
    assert outcome.error.type is ErrorType.TIMEOUT
    await noted(house.effects, "slow cancelled")
