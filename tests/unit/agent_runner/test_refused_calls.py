"""What a model calls and nobody can do is seen by whoever watches, as every other call is."""

from __future__ import annotations

import pytest

from tests.support.openai_double import OpenAIDouble, Reply
from tests.support.stage import Stage

MODEL = "model: openai/gpt-4o\nagents: [helper]\n"
HELPER = "model: scripted\nscripted: [{answer: {helped: true}}]\n"


@pytest.mark.parametrize(
    ("call", "arguments", "said"),
    [
        (("nosuch", {"a": 1}), {"a": 1}, "nosuch"),
        (("helper", "{no json"), "{no json", "JSON"),
        (("helper", "[1]"), [1], "dict"),
        (("helper", {"tasks": "x"}), {"tasks": "x"}, "schema of helper"),
    ],
)
async def test_a_call_that_cannot_be_made_is_told_with_its_arguments_and_why(
    stage: Stage, double: OpenAIDouble, call: tuple[str, dict[str, object] | str], arguments: object, said: str
) -> None:
    stage.add("helper", HELPER)
    double.script(Reply(calls=(("helper", {"task": "x"}), call)), Reply(calls=(call,)), Reply(text="done"))
    assert (await stage.play(MODEL)).output == "done"
    told = [(kind, facts) for kind, agent, facts in stage.told.facts if kind.startswith("tool_") and agent == "subject"]
    calls = {facts["call_id"]: facts for kind, facts in told if kind == "tool_call"}
    results = {facts["call_id"]: facts for kind, facts in told if kind == "tool_result"}
    assert [(number, calls[number]["tool"]) for number in sorted(calls)] == [
        ("1", "helper"),
        ("2", call[0]),
        ("3", call[0]),
    ]
    assert len(told) == 6
    for number in ("2", "3"):
        assert calls[number]["arguments"] == arguments
        assert results[number]["is_error"]
        assert said in results[number]["result"]
    assert not results["1"]["is_error"]
