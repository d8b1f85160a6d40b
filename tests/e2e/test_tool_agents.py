"""Agents that use tools of MCP servers, through the running system."""

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.e2e.workflows import agent, store
from tests.support.driver import ok
from tests.support.mcp_servers.house import lines, program, write_servers
from tests.support.system import System
from tests.support.waiting import eventually


@pytest.fixture
def effects(tmp_path: Path) -> Path:
    return tmp_path / "effects"


@pytest.fixture
def own(make_system: Callable[..., System], effects: Path) -> System:
    """A system with a server, and agents that are calls of its tools."""
    system = make_system(STATION_LEASE_SECONDS="2")
    write_servers(system.environments, tools=program(effects, env={"SECRET": "${TOKEN}"}))
    (system.environments / "test" / "variables.yml").write_text("TOKEN: very-secret-value\n")
    for name, tool in [("adds", "add"), ("counts", "count"), ("shows", "echo")]:
        system.write_agent(name, f"---\nmodel: tool/tools__{tool}\n---\n")
        system.wait_agent(name)
    return system


def programs_of(system: System, name: str) -> list[psutil.Process]:
    """The programs of servers that a runner has started."""
    children = psutil.Process(system.pids["agent-runner"]).children()
    return [child for child in children if name in " ".join(child.cmdline())]


async def test_a_workflow_calls_a_tool_and_what_a_server_keeps_secret_is_shown_nowhere(own: System) -> None:
    store(own, "sums", agent("sum", "adds", variables={"a": "{{ n }}", "b": 2}))
    run = own.finish(own.start_run("sums", {"n": 1}))
    assert run["output"] == {"sum": 3}
    assert own.step(run["id"], "sum")["usage"]["toolCalls"] == 1
    store(own, "tells", agent("tell", "shows"))
    run = own.finish(own.start_run("tells"))
    assert run["output"]["secret"] == "[redacted]"


async def test_a_runner_that_is_killed_in_a_call_calls_again_with_the_same_key(
    own: System, effects: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    store(own, "keyed", agent("count", "counts", variables={"until": str(gate)}))
    run_id = own.start_run("keyed")
    await eventually(lambda: lines(effects))
    (key,) = lines(effects)
    assert key.startswith(f"{run_id}:")
    programs = programs_of(own, "tools.py")
    assert len(programs) == 1
    own.kill("agent-runner")
    _, alive = psutil.wait_procs(programs, timeout=20)
    assert alive == []
    gate.touch()
    own.start("agent-runner")
    assert own.finish(run_id)["output"] == {"key": key}
    assert lines(effects) == [key, key]


async def test_an_agent_with_a_tool_that_is_not_there_is_a_problem_that_goes_when_the_file_is_mended(
    own: System,
) -> None:
    file = own.write_agent("wrong", "---\nmodel: tool/tools__ad\n---\n")

    def problems() -> list[dict[str, str]]:
        found = ok(own.api.get("/agents"))["problems"]
        return [problem for problem in found if problem["path"].endswith("wrong.prompt")]

    told = await eventually(problems)
    assert [problem["code"] for problem in told] == ["unknown_tool"]
    assert told[0]["hint"] == "did you mean 'tools__add'?"
    file.write_text("---\nmodel: tool/tools__add\n---\n")
    own.wait_agent("wrong")


async def test_a_server_that_never_answers_delays_nobody_and_ends_with_the_runner(own: System) -> None:
    write_servers(own.environments, "stuck.json", stuck={"command": "sleep", "args": ["3600"]})
    own.write_agent("waits", "---\nmodel: tool/stuck__anything\n---\n")
    own.wait_agent("waits")
    own.write_scripted("other", {"answer": {"ok": True}})
    own.wait_agent("other")
    stuck = await eventually(lambda: programs_of(own, "sleep 3600"))
    assert own.stop("agent-runner") == {"agent-runner": 0}
    _, alive = psutil.wait_procs(stuck, timeout=20)
    assert alive == []
