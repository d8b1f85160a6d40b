"""Agents of real models, against a server that speaks their protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from station.agent_runner.backends.registry import Backends, all_backends
from station.agent_runner.catalog import load_catalog
from station.agent_runner.executors.agent_run import AgentRun
from station.agent_runner.executors.protocol import Outcome
from station.agent_runner.held import Held
from station.agent_runner.loop.equipment import Equipment, Pace
from station.agent_runner.loop.providers import Access, Providers
from tests.support.agent_files import found_in, write_agent
from tests.support.backend_conformance import MAX_OUTPUT, held_for
from tests.support.openai_double import OpenAIDouble, Reply

STATUS = "output: {schema: {type: object, properties: {status: {type: string}}, required: [status]}}\n"


@pytest.fixture
async def double() -> AsyncGenerator[OpenAIDouble]:
    async with OpenAIDouble().running() as double:
        yield double


@pytest.fixture
async def backends(double: OpenAIDouble) -> AsyncGenerator[Backends]:
    access = Access(base_url=double.url)
    backends = all_backends(
        providers=Providers(openai=access, ollama=access),
        equipment=Equipment(pace=Pace(first_pause=0.001)),
    )
    yield backends
    await backends.close()


async def execute(
    root: Path, backends: Backends, front_matter: str, body: str = "Task: {{task}}", timeout: float | None = None
) -> Outcome:
    return await executed(root, backends, held_for("subject", timeout), front_matter, body)


async def executed(
    root: Path, backends: Backends, held: Held, front_matter: str, body: str = "Task: {{task}}"
) -> Outcome:
    write_agent(root, "subject", f"---\n{front_matter.strip()}\n---\n{body}\n")
    catalog = await load_catalog(root, backends)
    executor = AgentRun(found_in(catalog), max_output_bytes=MAX_OUTPUT)
    return await executor.execute(held)


async def test_text_is_asked_for_and_answered(tmp_path: Path, backends: Backends, double: OpenAIDouble) -> None:
    double.script(Reply(text="hello there"))
    held = held_for("subject")
    outcome = await executed(tmp_path, backends, held, "model: openai/gpt-4o\nconfig: {temperature: 0.2, topP: 0.9}")
    assert (outcome.output, outcome.error) == ("hello there", None)
    (request,) = double.requests
    assert request.body["model"] == "gpt-4o"
    assert (request.body["temperature"], request.body["top_p"]) == (0.2, 0.9)
    assert request.roles == [("user", "Task: do it")]
    assert held.meter.usage is not None
    assert (held.meter.usage.requests, held.meter.usage.input_tokens, held.meter.usage.output_tokens) == (1, 11, 7)
    assert held.meter.usage.cost_usd == pytest.approx(11 * 2.5e-6 + 7 * 10e-6)


async def test_a_structured_answer_keeps_the_schema(tmp_path: Path, backends: Backends, double: OpenAIDouble) -> None:
    double.script(Reply(value={"status": "ok"}))
    outcome = await execute(tmp_path, backends, "model: openai/gpt-4o\n" + STATUS)
    assert (outcome.output, outcome.error) == ({"status": "ok"}, None)
    assert double.requests[0].tools["final_result"]["required"] == ["status"]
