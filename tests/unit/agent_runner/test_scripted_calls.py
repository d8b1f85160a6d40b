"""Scripts that call tools go through the loop of real models."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from station.agent_runner.backends.registry import all_backends
from station.agent_runner.catalog import load_catalog
from station.agent_runner.loop.equipment import Equipment
from station.agent_runner.loop.prices import Prices
from station.agent_runner.loop.spans import Spans
from station.agent_runner.redaction import Redactor
from station.contracts.errors import ErrorType
from station.contracts.usage import Budget
from station.runtime.telemetry import Exporter, Telemetry, agent_span_id, trace_id_of
from tests.support.agent_files import write_agent
from tests.support.backend_conformance import MAX_OUTPUT, BackendConformance, held_for
from tests.support.stage import Stage

HELPER = "model: scripted\nscripted: [{answer: {helped: true}}]\n"
CALLS = "calls: [{tool: helper, args: {task: x}}]"


def script(entry: str) -> str:
    return f"model: scripted\nagents: [helper]\nscripted: [{{{CALLS}, {entry}}}]\n"


class TestConformance(BackendConformance):
    answers = script("answer: {status: ok}")
    answers_wrongly = script("answer: {status: 7}")
    answers_text = script("answer: hello")
    fails = script("error: {type: agent_error, message: it broke}")
    floods = script(f"answer: {'x' * (MAX_OUTPUT + 1)}")
    hangs = script("answer: late, delaySeconds: 3600")

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        write_agent(tmp_path, "helper", f"---\n{HELPER}---\n")
        return tmp_path


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path, all_backends())
    stage.add("helper", HELPER)
    return stage


async def test_calls_are_made_turn_by_turn_and_then_comes_the_answer(stage: Stage) -> None:
    one, two = "{tool: helper, args: {task: one}}", "{tool: helper, args: {task: two}}"
    held = held_for("subject")
    outcome = await stage.play(
        f"model: scripted\nagents: [helper]\nscripted: [{{calls: [{one}, [{one}, {two}]], answer: 5}}]", held
    )
    assert (outcome.output, outcome.error, outcome.repeatable) == (5, None, False)
    assert held.meter.usage is not None
    assert (held.meter.usage.requests, held.meter.usage.tool_calls) == (3, 3)
    assert held.meter.usage.cost_usd == 0
    called = [facts for kind, agent, facts in stage.told.facts if (kind, agent) == ("tool_call", "subject")]
    assert [(facts["call_id"], facts["arguments"]["task"]) for facts in called] == [
        ("1", "one"),
        ("2", "one"),
        ("3", "two"),
    ]
    assert stage.told.kinds.count("usage") == 3


async def test_a_script_without_calls_may_be_done_again(stage: Stage) -> None:
    assert (await stage.play(HELPER)).repeatable


@pytest.mark.parametrize(
    ("allowed", "hint"),
    [
        ("", "add it there, or remove the call"),
        ("agents: [helper]", "did you mean 'helper'?"),
        ('tools: ["near__*"]', "add it there"),
        ("mcpServers: [helpers]", "add it there"),
    ],
)
async def test_a_call_that_the_file_does_not_allow_is_a_problem_of_the_file(
    tmp_path: Path, allowed: str, hint: str
) -> None:
    write_agent(tmp_path, "helper", f"---\n{HELPER}---\n")
    text = (
        f"---\nmodel: scripted\n{allowed}\nscripted: [{{answer: 1}}, {{calls: [[{{tool: helpr}}]], answer: 2}}]\n---\n"
    )
    write_agent(tmp_path, "subject", text)
    (problem,) = (await load_catalog(tmp_path, all_backends())).problems
    assert problem.path == "test/agents/subject.prompt"
    assert "`scripted[1].calls` calls 'helpr', which is not among" in problem.message
    assert hint in problem.message


@pytest.mark.parametrize(
    "allowed", ['tools: ["near__*"]', "tools: [near__add]", "mcpServers: [near]", 'tools: ["n*__a??"]']
)
async def test_calls_of_tools_that_the_file_allows_are_none(tmp_path: Path, allowed: str) -> None:
    text = f"---\nmodel: scripted\n{allowed}\nscripted: [{{calls: [{{tool: near__add}}], answer: 1}}]\n---\n"
    write_agent(tmp_path, "subject", text)
    assert (await load_catalog(tmp_path, all_backends())).problems == ()


async def test_a_budget_of_tool_calls_holds(stage: Stage) -> None:
    outcome = await stage.play(script("answer: done"), held_for("subject", budget=Budget(max_tool_calls=0)))
    assert outcome.error is not None
    assert outcome.error.type is ErrorType.BUDGET_EXCEEDED


async def test_prices_of_the_file_are_what_it_costs(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text('{"scripted": {"inputPerMillion": 1000000, "outputPerMillion": 0}}')
    stage = Stage(tmp_path / "environments", all_backends(equipment=Equipment(prices=Prices(file))))
    stage.add("helper", HELPER)
    held = held_for("subject")
    assert (await stage.play(script("answer: done"), held)).output == "done"
    assert held.meter.usage is not None
    assert held.meter.usage.cost_usd == held.meter.usage.input_tokens
    file.write_text('{"scripted": {"inputPerMillion": 0, "outputPerMillion": 0}}\n')
    again = held_for("subject")
    await stage.play(script("answer: done"), again)
    assert again.meter.usage is not None
    assert again.meter.usage.cost_usd == 0


class Kept:
    """Spans that stay here."""

    def __init__(self) -> None:
        self.spans = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.tracer: trace.Tracer = provider.get_tracer("test")


@pytest.mark.parametrize("content", [True, False])
async def test_spans_say_what_was_done(tmp_path: Path, *, content: bool) -> None:
    kept, redactor = Kept(), Redactor(["sesame-open"])
    spans = Spans(Telemetry(cast("Exporter", kept)), redactor.value if content else None)
    stage = Stage(tmp_path, all_backends(equipment=Equipment(spans=spans)))
    stage.add("helper", HELPER)
    held = held_for("subject")
    calls = "calls: [{tool: helper, args: {task: sesame-open}}]"
    await stage.play(f"model: scripted\nagents: [helper]\nscripted: [{{{calls}, answer: done}}]", held)
    found = {(span.name, _parent(span)): span for span in kept.spans.get_finished_spans()}
    (invoke,) = [span for span in found.values() if span.name == "invoke_agent subject"]
    assert _parent(invoke) == agent_span_id(*held.key)
    assert invoke.context is not None
    assert invoke.context.trace_id == trace_id_of("run_1", None)
    inside = invoke.context.span_id
    assert ("chat scripted", inside) in found
    tool = found["execute_tool helper", inside]
    assert tool.attributes is not None
    assert tool.attributes["gen_ai.tool.name"] == "helper"
    chat: Any = found["chat scripted", inside].attributes
    assert chat["gen_ai.operation.name"] == "chat"
    assert chat["gen_ai.usage.output_tokens"] > 0
    assert ("gen_ai.tool.call.arguments" in tool.attributes) == content
    assert "sesame-open" not in str([span.attributes for span in found.values()])


def _parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ("{tool: a}", "Expected `array`"),
        ("[{tol: a}]", "unknown field `tol`"),
        ("[[{tool: a, args: 1}]]", "Expected `object`"),
    ],
)
async def test_calls_that_cannot_be_made_are_a_problem_of_the_file(tmp_path: Path, calls: str, said: str) -> None:
    write_agent(tmp_path, "a", f"---\nmodel: scripted\nscripted: [{{calls: {calls}, answer: 1}}]\n---\n")
    catalog = await load_catalog(tmp_path, all_backends())
    assert not catalog.agents
    assert said in catalog.problems[0].message
