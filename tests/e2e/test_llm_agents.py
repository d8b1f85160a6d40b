"""Agents of a model behind a real protocol, with tools of real servers, through the running system."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.workflows import agent, store
from tests.support.driver import ok
from tests.support.mcp_servers.house import HttpServer, lines, program, write_servers
from tests.support.openai_double import OpenAIDouble, Received, Reply, refused
from tests.support.otlp import Collector
from tests.support.system import System
from tests.support.waiting import wait_until

STATUS = "output: {schema: {type: object, properties: {status: {type: string}}, required: [status]}}"
TRIAGE = f"""
    ---
    model: openai/gpt-4o
    tools: [near__*, far__count]
    agents: [reporter]
    {STATUS}
    ---
    {{{{role "system"}}}}Be brief.{{{{role "user"}}}}{{{{task}}}}
"""
REPORTER = """
    ---
    model: openai/gpt-4o-mini
    tools: [near__slow]
    ---
    Report: {{task}}
"""
OWN = """
    ---
    model: openai/own
    ---
    {{task}}
"""
KEY, SECRET = "sk-e2e-0815", "the-cellar-key-4711"
PRICE = {"inputPerMillion": 100_000, "outputPerMillion": 0}
"""A request costs 1.1 USD, where it takes the 11 tokens of the double."""
CALLER_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = {"traceparent": f"00-{CALLER_TRACE}-00f067aa0ba902b7-01"}


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

    def __init__(self, system: System, double: OpenAIDouble, effects: Path, collector: Collector) -> None:
        self.system = system
        self.double = double
        self.effects = effects
        self.collector = collector

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
    prices = directory / "prices.json"
    prices.write_text(json.dumps({"openai/gpt-4o": PRICE}))
    models, far, collector = Models(), HttpServer(effects), Collector()
    far.start()
    settings = {
        "STATION_OPENAI_BASE_URL": models.double.url,
        "STATION_OPENAI_API_KEY": KEY,
        "STATION_PRICES_FILE": str(prices),
        "STATION_OTLP_ENDPOINT": collector.endpoint,
        "STATION_TRACE_CONTENT": "true",
    }
    system = System(directory, settings=settings)
    write_servers(system.environments, near=program(effects, env={"SECRET": "${HOUSE_SECRET}"}), far={"url": far.url})
    (system.environments / "test" / "variables.yml").write_text(f"HOUSE_SECRET: {SECRET}\n")
    system.write_agent("triage", TRIAGE)
    system.write_agent("reporter", REPORTER)
    system.write_agent("own", OWN)
    try:
        with collector, system:
            system.wait_agent("triage")
            yield House(system, models.double, effects, collector)
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
    assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in house.double.requests)
    assert house.double.requests[0].roles == [("system", "Be brief."), ("user", "look after it")]
    assert KEY not in house.system.log_of("agent-runner")


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


@pytest.mark.parametrize("asked", ["triage", "reporter"])
def test_a_cancelled_run_ends_the_tool_that_its_agent_or_an_agent_of_that_one_calls(house: House, asked: str) -> None:
    def wait(request: Received) -> Reply:
        if asked == "reporter" and request.body["model"] == "gpt-4o":
            return Reply(calls=(("reporter", {"task": "look"}),))
        return Reply(calls=(("near__slow", {"name": asked}),))

    house.answer(wait)
    run_id = house.start(f"cancelled-{asked}")
    wait_until(lambda: lines(house.effects) == [f"{asked} started"])
    ok(house.system.control(run_id, "cancel"))
    house.system.finish(run_id, "CANCELLED")
    wait_until(lambda: lines(house.effects) == [f"{asked} started", f"{asked} cancelled"])


@pytest.mark.parametrize("whose", ["run", "step"])
@pytest.mark.parametrize(
    ("budget", "requests", "said"),
    [
        ({"maxTokens": 30}, 2, "36 tokens, and its budget is 30 (maxTokens)"),
        ({"maxToolCalls": 1}, 1, "called tools 1 times; its budget is 1 (maxToolCalls)"),
        ({"maxCostUsd": 2}, 2, "has cost 2.2000 USD, and its budget is 2.0000 USD (maxCostUsd)"),
    ],
)
def test_a_budget_that_is_used_up_ends_the_run(
    house: House, whose: str, budget: dict[str, float], requests: int, said: str
) -> None:
    house.answer(thorough)
    limit: dict[str, Any] = {"budget": budget}
    name = f"poor-{whose}-{next(iter(budget)).lower()}"
    of_step, of_run = (limit, {}) if whose == "step" else ({}, limit)
    store(house.system, name, agent("ask", "triage", retry={"maxAttempts": 3}, **of_step), **of_run)
    run = house.system.finish(house.system.start_run(name), "FAILED")
    assert run["error"]["type"] == "budget_exceeded"
    assert f"the {whose} " in run["error"]["message"]
    assert said in run["error"]["message"]
    assert len(house.double.requests) == requests == run["usage"]["requests"]


@pytest.mark.parametrize("whose", ["run", "step"])
def test_a_model_whose_price_is_not_known_is_not_asked_where_costs_have_a_limit(house: House, whose: str) -> None:
    house.answer(lambda _: Reply(text="hello"))
    limit: dict[str, Any] = {"budget": {"maxCostUsd": 1}}
    of_step, of_run = (limit, {}) if whose == "step" else ({}, limit)
    store(house.system, f"priceless-{whose}", agent("ask", "own", **of_step), **of_run)
    error = house.system.finish(house.system.start_run(f"priceless-{whose}"), "FAILED")["error"]
    assert error["type"] == "budget_exceeded"
    assert "openai/own" in error["message"]
    assert "STATION_PRICES_FILE" in error["message"]
    assert house.double.requests == []


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


def test_a_runner_that_is_killed_in_the_second_turn_makes_the_first_turns_call_with_the_same_key(house: House) -> None:
    def count(request: Received) -> Reply:
        if request.roles[-1][0] != "tool":
            return Reply(calls=(("far__count", {}),))
        return Reply(hang=True) if len(house.double.requests) == 2 else Reply(value={"status": "ok"})

    house.answer(count)
    run_id = house.start("second-turn")
    wait_until(lambda: len(house.double.requests) == 2)
    house.system.restart("agent-runner")
    assert house.system.finish(run_id)["output"] == {"status": "ok"}
    step = house.system.step(run_id, "ask")
    assert step["attempt"] == 1
    assert lines(house.effects) == [f"{run_id}:{step['stepId']}:1:1"] * 2


def test_a_server_that_is_killed_in_the_middle_of_a_call_is_asked_again_with_the_same_key(
    house: House, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    pids: list[int] = []

    def count(request: Received) -> Reply:
        said = [json.loads(content) for role, content in request.roles if role == "tool"]
        if not said:
            return Reply(calls=(("near__echo", {}),))
        if len(said) == 1:
            pids.append(said[0]["pid"])
            return Reply(calls=(("near__count", {"until": str(go)}),))
        return Reply(value={"status": said[1]["key"]})

    house.answer(count)
    run_id = house.start("lost-server")
    wait_until(lambda: len(lines(house.effects)) == 1)
    go.touch()
    os.kill(pids[0], signal.SIGKILL)
    key = f"{run_id}:{house.system.step(run_id, 'ask')['stepId']}:1:2"
    assert house.system.finish(run_id)["output"] == {"status": key}
    assert lines(house.effects) == [key, key]


def test_what_agents_models_and_tools_do_is_one_tree_of_spans_without_a_secret(house: House) -> None:
    def work(request: Received) -> Reply:
        if request.body["model"] == "gpt-4o-mini":
            return Reply(text="all is well")
        said = [content for role, content in request.roles if role == "tool"]
        if not said:
            return Reply(calls=(("near__echo", {"value": KEY}), ("reporter", {"task": "look"})))
        return Reply(value={"status": said[0]})

    house.answer(work)
    store(house.system, "traced", agent("ask", "triage"))
    run_id = house.system.start_run("traced", headers=CALLER)
    assert house.system.finish(run_id)["output"]["status"].count("[redacted]") == 2
    spans = {
        span.span_id: span
        for span in house.collector.wait(
            lambda found: (
                any(span.trace_id == CALLER_TRACE and span.name == "WorkflowRun" for span in found)
                and any(span.trace_id == CALLER_TRACE and span.name == "AgentExecute" for span in found)
            )
        )
        if span.trace_id == CALLER_TRACE
    }

    def above(span_id: str) -> str:
        span = spans[span_id]
        return span.name if span.name == "AgentExecute" else f"{above(span.parent_id)} > {span.name}"

    ours = [span for span in spans.values() if "gen_ai.operation.name" in span.attributes]
    top, child = "AgentExecute > invoke_agent triage", "execute_tool reporter > invoke_agent reporter"
    assert Counter(above(span.span_id) for span in ours) == {
        top: 1,
        f"{top} > chat gpt-4o": 2,
        f"{top} > execute_tool near__echo": 1,
        f"{top} > execute_tool reporter": 1,
        f"{top} > {child}": 1,
        f"{top} > {child} > chat gpt-4o-mini": 1,
    }
    told = json.dumps([span.attributes for span in spans.values()], default=str)
    assert "[redacted]" in told
    assert KEY not in told
    assert SECRET not in told


def test_two_files_with_one_name_are_a_problem_of_both(house: House) -> None:
    text = "---\nmodel: openai/gpt-4o\nmetadata: {name: twin}\n---\nx\n"
    files = [house.system.write_agent(name, text) for name in ("left", "right")]

    def problems() -> list[str]:
        found = ok(house.system.api.get("/agents", params={"environment": "test"}))["problems"]
        return sorted(problem["path"] for problem in found if problem["code"] == "duplicate_agent")

    wait_until(lambda: problems() == ["test/agents/left.prompt", "test/agents/right.prompt"])
    assert house.system.api.get("/agents/twin", params={"environment": "test"}).status_code == 404
    files[0].unlink()
    house.system.wait_agent("twin")
    assert problems() == []
