"""Agents of a model behind a real protocol, with tools of real servers, through the running system."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.workflows import agent, store
from tests.support.driver import ok
from tests.support.mcp_servers.house import HttpServer, lines, program, write_servers
from tests.support.openai_double import OpenAIDouble, Received, Reply, refused
from tests.support.system import System
from tests.support.waiting import wait_until

STATUS = "output: {schema: {type: object, properties: {status: {type: string}}, required: [status]}}"
TRIAGE = f"""
    ---
    model: openai/gpt-4o
    tools: [near__add, far__count]
    agents: [reporter]
    {STATUS}
    ---
    {{{{role "system"}}}}Be brief.{{{{role "user"}}}}{{{{task}}}}
"""
REPORTER = """
    ---
    model: openai/gpt-4o-mini
    ---
    Report: {{task}}
"""


class Models:
    """The double, in a thread of its own."""

    def __init__(self) -> None:
        self.double: OpenAIDouble
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._end: asyncio.Event
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        self._ready.wait()

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        self.double = OpenAIDouble()
        async with self.double.running():
            self._ready.set()
            await self._end.wait()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self._loop.close()


class House:
    """A system whose agents have models and tools."""

    def __init__(self, system: System, double: OpenAIDouble, effects: Path) -> None:
        self.system = system
        self.double = double
        self.effects = effects

    def answer(self, otherwise: Callable[[Received], Reply]) -> None:
        self.double.otherwise = otherwise
        self.double.requests.clear()
        self.effects.unlink(missing_ok=True)

    def start(self, name: str, **more: Any) -> str:
        store(self.system, name, agent("ask", "triage", "look after it", retry={"maxAttempts": 1}, **more))
        return self.system.start_run(name)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("llm")
    effects = directory / "effects"
    models, far = Models(), HttpServer(effects)
    far.start()
    system = System(
        directory, settings={"STATION_OPENAI_BASE_URL": models.double.url, "STATION_OPENAI_API_KEY": "sk-e2e-0815"}
    )
    write_servers(system.environments, near=program(effects), far={"url": far.url})
    system.write_agent("triage", TRIAGE)
    system.write_agent("reporter", REPORTER)
    try:
        with system:
            system.wait_agent("triage")
            yield House(system, models.double, effects)
    finally:
        far.kill()
        models.close()


def thorough(request: Received) -> Reply:
    """Adds, has it reported, and answers what the report says."""
    if request.body["model"] == "gpt-4o-mini":
        return Reply(text="all is well", tokens=(5, 3))
    said = [content for role, content in request.roles if role == "tool"]
    if not said:
        return Reply(calls=(("near__add", {"a": 1, "b": 2}), ("far__count", {})))
    if len(said) == 2:
        return Reply(calls=(("reporter", {"task": said[0]}),))
    return Reply(value={"status": said[2]})


def test_a_model_works_with_tools_near_and_far_and_with_another_agent(house: House) -> None:
    house.answer(thorough)
    run_id = house.start("thorough")
    run = house.system.finish(run_id)
    assert run["output"] == {"status": "all is well"}
    step = house.system.step(run_id, "ask")
    assert step["agent"]["model"] == "openai/gpt-4o"
    usage = step["usage"]
    assert (usage["requests"], usage["inputTokens"], usage["outputTokens"], usage["toolCalls"]) == (4, 38, 24, 3)
    assert usage["costUsd"] > 0
    assert run["usage"] == usage
    assert lines(house.effects) == [f"{run_id}:{step['stepId']}:1:2"]
    assert all(request.headers["authorization"] == "Bearer sk-e2e-0815" for request in house.double.requests)
    assert house.double.requests[0].roles == [("system", "Be brief."), ("user", "look after it")]
    assert "sk-e2e-0815" not in house.system.log_of("agent-runner")


def test_what_passes_by_itself_costs_no_attempt(house: House) -> None:
    house.answer(lambda _: Reply(value={"status": "ok"}))
    house.double.script(refused(429, "slow down", retry_after="0"), refused(500, "oops"), Reply(value={"status": 1}))
    run_id = house.start("passing")
    assert house.system.finish(run_id)["output"] == {"status": "ok"}
    assert len(house.double.requests) == 4
    assert house.system.step(run_id, "ask")["usage"]["requests"] == 2


@pytest.mark.parametrize(
    ("name", "reply", "kind", "said"),
    [
        ("refused", refused(401, "no"), "agent_error", "STATION_OPENAI_API_KEY"),
        ("garbage", Reply(raw=b"data: {no json\n\n"), "agent_error", "gpt-4o sent cannot be read"),
        ("stubborn", Reply(value={"status": 7}), "validation", "/status"),
    ],
)
def test_what_does_not_pass_fails_the_run_and_says_why(
    house: House, name: str, reply: Reply, kind: str, said: str
) -> None:
    house.answer(lambda _: reply)
    error = house.system.finish(house.start(name), "FAILED")["error"]
    assert error["type"] == kind
    assert said in error["message"]


def test_time_that_runs_out_and_a_cancelled_run_end_the_request(house: House) -> None:
    house.answer(lambda _: Reply(hang=True))
    error = house.system.finish(house.start("slow", timeoutSeconds=1), "FAILED")["error"]
    assert error["type"] == "timeout"
    wait_until(house.double.abandoned.is_set)
    house.double.abandoned.clear()
    run_id = house.start("cancelled")
    wait_until(lambda: len(house.double.requests) == 2)
    ok(house.system.control(run_id, "cancel"))
    wait_until(house.double.abandoned.is_set)


def test_a_budget_that_is_used_up_ends_the_run(house: House) -> None:
    house.answer(thorough)
    store(house.system, "poor", agent("ask", "triage"), budget={"maxTokens": 30})
    error = house.system.finish(house.system.start_run("poor"), "FAILED")["error"]
    assert error["type"] == "budget_exceeded"
    assert len(house.double.requests) == 2


def test_a_runner_that_is_killed_while_a_model_thinks_asks_it_again(house: House) -> None:
    house.answer(lambda _: Reply(value={"status": "ok"}))
    house.double.script(Reply(hang=True))
    run_id = house.start("thinking")
    wait_until(lambda: len(house.double.requests) == 1)
    house.system.restart("agent-runner")
    assert house.system.finish(run_id)["output"] == {"status": "ok"}
    assert house.system.step(run_id, "ask")["attempt"] == 1
    assert house.double.requests[0].body == house.double.requests[1].body


def test_a_runner_that_is_killed_while_a_tool_works_calls_it_again_with_the_same_key(house: House) -> None:
    def count(request: Received) -> Reply:
        if request.roles[-1][0] == "tool":
            return Reply(value={"status": "ok"})
        first = not lines(house.effects)
        return Reply(calls=(("far__count", {"seconds": 3600 if first else 0}),))

    house.answer(count)
    run_id = house.start("counting")
    wait_until(lambda: len(lines(house.effects)) == 1)
    house.system.restart("agent-runner")
    assert house.system.finish(run_id)["output"] == {"status": "ok"}
    assert lines(house.effects) == [f"{run_id}:{house.system.step(run_id, 'ask')['stepId']}:1:1"] * 2
