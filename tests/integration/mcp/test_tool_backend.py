"""Agents that are one call of a tool: ``model: tool/<server>__<tool>``."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from station.agent_runner.backends.registry import Backends, all_backends
from station.agent_runner.catalog import Catalog, load_catalog
from station.agent_runner.executors.protocol import Outcome
from station.agent_runner.failures import AttemptFailed
from station.agent_runner.mcp.servers import McpServers
from station.agent_runner.mcp.tool import McpUnavailable
from station.agent_runner.metering import Meter
from station.contracts.errors import ErrorType, StepError
from station.contracts.progress import ProgressKind
from station.contracts.usage import Budget, Usage
from tests.support.agent_files import ENVIRONMENT, backend_of, call_of, load_agent, write_agent
from tests.support.backend_conformance import BackendConformance, execute
from tests.support.mcp_servers.house import lines, noted, program, write_servers


def tool(name: str, arguments: Any = None) -> str:
    """Front matter of an agent that calls a tool."""
    written = "" if arguments is None else f"\narguments: {json.dumps(arguments)}"
    return f"model: tool/tools__{name}{written}\n"


@pytest.fixture
async def backends(root: Path, servers: McpServers, effects: Path) -> Backends:
    write_servers(root, tools=program(effects))
    return all_backends(servers=servers)


class TestConformance(BackendConformance):
    answers = tool("say", {"text": '{"status": "ok"}'})
    answers_wrongly = tool("say", {"text": '{"status": 7}'})
    answers_text = tool("say", {"text": "hello"})
    fails = tool("fail", {})
    error_type = ErrorType.TOOL_ERROR
    floods = tool("big", {"size": 70_000})
    hangs = tool("slow", {})

    @pytest.fixture
    async def backends(self, root: Path, effects: Path) -> AsyncIterator[Backends]:
        write_servers(root, tools=program(effects))
        servers = McpServers(root)
        await servers.tools(ENVIRONMENT, "tools")
        yield all_backends(servers=servers)
        await servers.close()


async def played(root: Path, backends: Backends, front_matter: str) -> Outcome:
    return await execute(root, front_matter, backends=backends)


async def error_of(root: Path, backends: Backends, front_matter: str) -> StepError:
    outcome = await played(root, backends, front_matter)
    assert outcome.error is not None, outcome.output
    return outcome.error


async def test_structured_content_is_the_answer_and_placeholders_keep_their_types(
    root: Path, backends: Backends
) -> None:
    arguments = {"value": {"whole": "{{ numbers }}", "part": "{{ task }}: {{ numbers[0] }}", "as": ["{{ flag }}"]}}
    agent = await load_agent(root, "a", f"---\n{tool('echo', arguments)}---\n", backends)
    call = call_of(agent, task="look", variables={"numbers": [1, 2], "flag": True})
    answer: Any = (await backend_of(agent).run(call)).value
    assert answer["value"] == {"whole": [1, 2], "part": "look: 1", "as": [True]}
    assert answer["meta"]["station/idempotencyKey"] == f"{call.idempotency_key}:1"
    assert answer["meta"]["station/runId"] == "run_1"
    assert answer["meta"]["station/stepId"] == call.step_id


async def test_without_arguments_the_tool_gets_the_variables(root: Path, backends: Backends) -> None:
    agent = await load_agent(root, "a", f"---\n{tool('add')}---\n", backends)
    answer = await backend_of(agent).run(call_of(agent, variables={"a": 1, "b": 2}))
    assert answer.value == {"sum": 3}


async def test_a_call_is_counted_and_told(root: Path, backends: Backends) -> None:
    told: list[tuple[str, dict[str, Any]]] = []

    class Voice:
        def say(self, kind: ProgressKind, *, agent: str, **facts: Any) -> None:
            told.append((kind, facts))

    agent = await load_agent(root, "a", f"---\n{tool('add', {'a': 1, 'b': 2})}---\n", backends)
    call = msgspec.structs.replace(call_of(agent), progress=Voice(), meter=Meter())
    await backend_of(agent).run(call)
    assert call.meter.usage == Usage(tool_calls=1)
    assert told == [
        ("tool_call", {"tool": "tools__add", "call_id": "1", "arguments": {"a": 1, "b": 2}}),
        ("tool_result", {"tool": "tools__add", "call_id": "1", "result": {"sum": 3}, "is_error": False}),
    ]


async def test_over_its_budget_nothing_is_sent(root: Path, backends: Backends, effects: Path) -> None:
    agent = await load_agent(root, "a", f"---\n{tool('count', {})}---\n", backends)
    call = msgspec.structs.replace(call_of(agent), meter=Meter(Budget(max_tool_calls=0)))
    with pytest.raises(AttemptFailed) as failed:
        await backend_of(agent).run(call)
    assert failed.value.error.type is ErrorType.BUDGET_EXCEEDED
    assert lines(effects) == []


async def test_arguments_that_break_the_tools_schema_are_not_sent(root: Path, backends: Backends) -> None:
    error = await error_of(root, backends, tool("add", {"a": "x", "b": 2}))
    assert (error.type, error.retryable) == (ErrorType.VALIDATION, False)
    assert "the arguments for tool 'tools__add' break its input schema: /a:" in error.message


async def test_a_path_that_is_not_there_is_named(root: Path, backends: Backends) -> None:
    error = await error_of(root, backends, tool("echo", {"value": "{{ nowhere.x }}"}))
    assert (error.type, error.retryable) == (ErrorType.VALIDATION, False)
    assert "test/agents/subject.prompt cannot be filled: nothing at path 'nowhere.x'" in error.message


async def test_a_server_that_is_lost_during_the_call_is_a_tool_error_that_may_be_retried(
    root: Path, backends: Backends
) -> None:
    error = await error_of(root, backends, tool("crash", {}))
    assert (error.type, error.retryable) == (ErrorType.TOOL_ERROR, True)
    assert "the server is on fire" in error.message
    assert (await played(root, backends, tool("say", {"text": "back"}))).output == "back"


async def test_a_tool_that_is_not_there_is_a_tool_error_that_is_not_retried(root: Path, backends: Backends) -> None:
    error = await error_of(root, backends, tool("ad", {}))
    assert (error.type, error.retryable) == (ErrorType.TOOL_ERROR, False)
    assert "MCP server 'tools' has no tool 'ad'; did you mean 'add'?" in error.message


async def test_cancelling_the_attempt_cancels_the_tool(root: Path, backends: Backends, effects: Path) -> None:
    working = asyncio.create_task(played(root, backends, tool("slow", {"name": "one"})))
    await noted(effects, "one started")
    working.cancel()
    await noted(effects, "one cancelled")
    await asyncio.wait({working})
    assert working.cancelled()


@pytest.mark.parametrize(
    ("front_matter", "said"),
    [
        ("model: tool\n", "`model` must be `tool/<server>__<tool>`"),
        ("model: tool/echo\n", "`model` must be `tool/<server>__<tool>`"),
        ("model: tool/tools__\n", "`model` must be `tool/<server>__<tool>`"),
        ("model: tool/tools__echo\narguments: [1]\n", "`arguments` must be an object"),
        ("model: tool/tools__echo\narguments: {a: '{{ a'}\n", "`arguments`: bad template"),
    ],
)
async def test_mistakes_in_the_file(root: Path, backends: Backends, front_matter: str, said: str) -> None:
    write_agent(root, "a", f"---\n{front_matter}---\n")
    catalog = await load_catalog(root, backends)
    assert [problem.code for problem in catalog.problems] == ["agent_invalid"]
    assert said in catalog.problems[0].message


class Loading:
    """What is loaded before and after the servers were asked."""

    def __init__(self, root: Path, servers: McpServers) -> None:
        self.root = root
        self.servers = servers

    async def of(self, front_matter: str) -> Catalog:
        write_agent(self.root, "a", f"---\n{front_matter}\n---\n")
        return await load_catalog(self.root, all_backends(servers=self.servers), self.servers)


@pytest.fixture
def loading(root: Path, servers: McpServers) -> Loading:
    write_servers(root, tools=program(), off={"command": "x", "disabled": True}, broken={"command": "no-such-program"})
    return Loading(root, servers)


SCRIPTED = "model: scripted\nscripted: [{answer: 1}]\n"


@pytest.mark.parametrize(
    ("more", "code", "said", "hint"),
    [
        ("tools: [tolls__add]", "unknown_server", "has no MCP server 'tolls'", "did you mean 'tools'?"),
        ("mcpServers: [kube]", "unknown_server", "has no MCP server 'kube'", "there are these servers: broken, off"),
        ("tools: ['kube*__x']", "unknown_server", "has no MCP server 'kube*'", "there are these servers"),
        ("tools: [add]", "unknown_tool", "names the tool 'add' without its server", "write <server>__<tool>"),
    ],
)
async def test_servers_that_are_not_there_are_told_at_once(
    loading: Loading, more: str, code: str, said: str, hint: str
) -> None:
    catalog = await loading.of(SCRIPTED + more)
    assert catalog.find(ENVIRONMENT, "a") is None
    (problem,) = catalog.problems
    assert (problem.code, problem.path) == (code, "test/agents/a.prompt")
    assert said in problem.message
    assert hint in (problem.hint or "")


async def test_tools_that_are_not_there_are_told_when_the_server_has_listed_its_own(loading: Loading) -> None:
    for more, said in [
        ("tools: [tools__ad]", "'tools__ad', which is no tool of tools"),
        ("tools: ['tools__get_*']", "'tools__get_*', which matches no tool of tools"),
    ]:
        catalog = await loading.of(SCRIPTED + more)
        if loading.servers.known_tools(ENVIRONMENT, "tools") is None:
            assert catalog.find(ENVIRONMENT, "a") is not None
            assert catalog.servers == {(ENVIRONMENT, "tools")}
            await loading.servers.tools(ENVIRONMENT, "tools")
            catalog = await loading.of(SCRIPTED + more)
        assert catalog.find(ENVIRONMENT, "a") is None
        (problem,) = catalog.problems
        assert problem.code == "unknown_tool"
        assert said in problem.message
    assert (await loading.of("model: tool/tools__ad")).problems[0].hint == "did you mean 'tools__add'?"
    for more in ("tools: ['tools__*', tools__add, '*__e?ho']", "mcpServers: [tools]", "tools: ['t*__[a-e]*']"):
        catalog = await loading.of(SCRIPTED + more)
        assert not catalog.problems
        assert catalog.find(ENVIRONMENT, "a") is not None


async def test_a_server_that_cannot_be_had_is_a_problem_and_the_agent_stays(loading: Loading) -> None:
    catalog = await loading.of("model: tool/off__x")
    assert catalog.find(ENVIRONMENT, "a") is not None
    assert [(problem.code, problem.path) for problem in catalog.problems] == [
        ("mcp_server_unavailable", "test/agents/a.prompt")
    ]
    with pytest.raises(McpUnavailable, match="was not found on PATH"):
        await loading.servers.tools(ENVIRONMENT, "broken")
    catalog = await loading.of("model: tool/broken__x")
    assert catalog.find(ENVIRONMENT, "a") is not None
    told = {problem.path: problem for problem in catalog.problems}
    assert told["test/mcp-servers/servers.json"].code == "mcp_server_unavailable"
    assert "was not found on PATH" in told["test/mcp-servers/servers.json"].message
