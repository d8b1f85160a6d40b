"""Agents that are tools of other agents."""

from __future__ import annotations

from typing import Any

import pytest

from station.contracts.errors import ErrorType
from station.contracts.usage import Budget
from tests.support.backend_conformance import held_for
from tests.support.openai_double import OpenAIDouble, Received, Reply
from tests.support.stage import Stage

MODEL = "model: openai/gpt-4o\n"
ADDER = """
model: scripted
description: Adds.
input: {schema: {type: object, properties: {a: {type: integer}}, required: [a], additionalProperties: false}}
output: {schema: {type: object, properties: {sum: {type: integer}}, required: [sum]}}
scripted: [{answer: {sum: 3}}]
"""


async def test_an_agent_is_a_tool_of_another(stage: Stage, double: OpenAIDouble) -> None:
    stage.add("adder", ADDER)
    double.script(Reply(calls=(("adder", {"a": 1}),)), Reply(text="three"))
    held = held_for("subject")
    assert (await stage.play(MODEL + "agents: [adder]", held)).output == "three"
    assert double.requests[0].tools["adder"]["required"] == ["a"]
    assert double.requests[1].roles[-1] == ("tool", '{"sum":3}')
    assert held.meter.usage is not None
    assert (held.meter.usage.requests, held.meter.usage.tool_calls) == (2, 1)
    assert [
        fact for fact in stage.told.facts if fact[:2] in {("tool_call", "subject"), ("tool_result", "subject")}
    ] == [
        ("tool_call", "subject", {"tool": "adder", "call_id": "1", "arguments": {"a": 1}}),
        ("tool_result", "subject", {"tool": "adder", "call_id": "1", "result": {"sum": 3}, "is_error": False}),
    ]
    assert stage.told.agents == ["subject", "adder", "subject"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("adder", {"a": "one"}), "/a"),
        (("adder", "{no json"), "Invalid JSON"),
        (("addder", {"a": 1}), "addder"),
    ],
)
async def test_a_wrong_call_is_told_to_the_model_and_not_made(
    stage: Stage, double: OpenAIDouble, call: tuple[str, dict[str, Any] | str], said: str
) -> None:
    stage.add("adder", ADDER)
    double.script(Reply(calls=(call,)), Reply(text="sorry"))
    held = held_for("subject")
    assert (await stage.play(MODEL + "agents: [adder]", held)).output == "sorry"
    assert said in str(double.requests[1].roles)
    assert held.meter.usage is not None
    assert held.meter.usage.tool_calls == 0


async def test_a_child_that_fails_is_told_to_its_caller(stage: Stage, double: OpenAIDouble) -> None:
    stage.add("broken", "model: scripted\nscripted: [{error: {message: it broke}}]")
    double.script(Reply(calls=(("broken", {"task": "x"}),)), Reply(text="no luck"))
    assert (await stage.play(MODEL + "agents: [broken]")).output == "no luck"
    assert "it broke" in str(double.requests[1].roles)


async def test_agents_that_call_each_other_for_ever_are_stopped(stage: Stage, double: OpenAIDouble) -> None:
    def again(request: Received) -> Reply:
        if request.roles[-1][0] == "tool":
            return Reply(text=str(request.roles[-1][1]))
        return Reply(calls=(("subject", {"task": "again"}),))

    double.otherwise = again
    outcome = await stage.play(MODEL + "agents: [subject]")
    assert "5 deep" in str(outcome.output)
    assert len(double.requests) == 10


async def test_a_budget_of_tool_calls_ends_the_attempt(stage: Stage, double: OpenAIDouble) -> None:
    stage.add("adder", ADDER)
    double.otherwise = lambda _: Reply(calls=(("adder", {"a": 1}), ("adder", {"a": 2})))
    held = held_for("subject", budget=Budget(max_tool_calls=1))
    outcome = await stage.play(MODEL + "agents: [adder]", held)
    assert outcome.error is not None
    assert outcome.error.type is ErrorType.BUDGET_EXCEEDED
    assert held.meter.usage is not None
    assert held.meter.usage.tool_calls == 1
