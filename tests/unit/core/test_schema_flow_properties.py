"""Runs of drawn definitions on the real core: where loading said that nothing can fit, nothing ever does."""

from __future__ import annotations

from itertools import count
from random import Random
from typing import Any

import pytest

from station.contracts.errors import ErrorType, StepError
from station.core.checks.walking import walk
from station.core.definition import to_canonical
from station.core.loading import AgentInfo, load
from station.core.schema_examples import examples
from station.core.schemas import compile_schema
from tests.support.driven_run import DrivenRun

_KINDS: list[dict[str, Any]] = [
    {"type": "string"},
    {"type": "integer"},
    {"type": "boolean"},
    {"enum": ["a", 1]},
    {"type": ["string", "null"]},
    {"type": "array", "items": {"type": "string"}},
    {"type": "object", "properties": {"a": {"type": "string"}}},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False},
]
_GIVEN = {"n": 2, "list": [{"a": "x"}, {"a": "y"}], "config": {"a": "z"}}
_INPUT = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "config": {"type": "object", "properties": {"a": {"type": "string"}}},
    },
}
_TARGETS = (None, None, *["r"] * 8, "r.a", "config", "config.a", "n")
_CONDITIONS = ("True", "False", "False")
_TAILS = ("", ".a", ".result", ".result.a", ".one", ".one.result", ".two.result.a", ".0", ".0.result.a", ".1.r", ".b")
_MOST_STEPS = 60


class _Drawing:
    """One definition being drawn; every state of it has a name of its own."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.numbers = count()
        self.agents = {f"g{number}": self._agent(f"g{number}") for number in range(6)}
        self.document = {"id": "drawn", "inputSchema": random.choice([_INPUT, True]), **self._scope(2)}

    def _agent(self, name: str) -> AgentInfo:
        taken = {"type": "object", "properties": {"v": self.random.choice(_KINDS)}}
        given = {
            "type": "object",
            "properties": {"a": self.random.choice(_KINDS), "result": self.random.choice(_KINDS)},
            "required": self.random.choice([["a", "result"], ["a"]]),
        }
        return AgentInfo(name, taken, self.random.choice([given, given, *_KINDS, None]))

    def _scope(self, depth: int) -> dict[str, Any]:
        names = [f"s{next(self.numbers)}" for _ in range(self.random.randint(2, 6))]
        states = [self._state(name, names[number + 1 :], depth) for number, name in enumerate(names)]
        return {"start": names[0], "states": states}

    def _state(self, name: str, later: list[str], depth: int) -> dict[str, Any]:
        kinds = ["agent"] * 6 + ["inject"] * 3 + ["switch"] * 4 + ["parallel", "foreach"] * (depth > 0)
        kind = self.random.choice(kinds if later else [one for one in kinds if one != "switch"])
        if kind == "switch":
            arms = [{"if": self.random.choice(_CONDITIONS), "next": self.random.choice(later)} for _ in range(2)]
            return {"name": name, "type": "switch", "conditions": arms, "defaultNext": later[0]}
        state: dict[str, Any] = {"name": name, "type": kind} | ({"next": later[0]} if later else {"end": True})
        if kind == "inject":
            state["data"] = self.random.choice([{"a": "text"}, {"config": {"a": 1}}, {"r": {"a": True}}, {"r": 1}])
        elif kind == "parallel":
            state["branches"] = [{"name": one, **self._scope(depth - 1)} for one in ("one", "two")]
        elif kind == "foreach":
            state |= {"itemsPath": "input.list", "iterator": self._scope(depth - 1)}
        else:
            agent = self.random.choice(list(self.agents))
            state |= {"type": "operation", "action": "agent.run"}
            state["input"] = {"agent": agent, "variables": {"v": self._value()}}
        target = self.random.choice(_TARGETS)
        if target is not None:
            state["resultPath"] = target
        if later and kind != "inject" and self.random.random() < 0.4:
            state["onError"] = self.random.choice(later)
        return state

    def _value(self) -> Any:
        roots = [*["r"] * 12, *["config"] * 3, "n", "item", "index", "result", "error.type", "input.config"]
        roots += [f"steps.s{number}" for number in range(8)]
        text = "{{ " + self.random.choice(roots) + self.random.choice([*[""] * 8, *[".a"] * 8, *_TAILS]) + " }}"
        return self.random.choice([text, text, text, {"a": text}, [text], f"x {text}", 1, None])


@pytest.mark.parametrize("block", range(8))
def test_what_can_never_fit_never_does(block: int) -> None:
    told = 0
    for seed in range(block * 200, block * 200 + 200):
        told += _play(Random(seed))
    assert told, "some of them reach what cannot fit"


def _play(random: Random) -> int:
    """Run one definition to its end, and count the steps that were said to be hopeless, and were."""
    drawing = _Drawing(random)
    definition = load(drawing.document).definition
    assert definition is not None
    hopeless = {error.path for error in load(drawing.document, agents=drawing.agents, agents_required=True).errors}
    places = {place.state["name"]: place.pointer for place in walk(to_canonical(definition))}
    run = DrivenRun(definition, _GIVEN, checked=False)
    told = 0
    for _ in range(_MOST_STEPS):
        waiting = [
            step for step in run.run.open.values() if step.agent_run_id is None and "agent" in (step.input or {})
        ]
        if not waiting or run.run.ended is not None:
            break
        step = random.choice(waiting)
        agent = drawing.agents[step.input["agent"]]
        fits = compile_schema(agent.input_schema).is_valid(step.input["variables"])
        here = any(path.startswith(f"{places[step.state_name]}/") for path in hopeless)
        assert not (here and fits), f"{step.state_name} was given {step.input} in {drawing.document}"
        told += here
        if random.random() < 0.15:
            run.report(step, run.claimed(step), error=StepError(type=ErrorType.AGENT_ERROR, message="it broke"))
        else:
            answers = list(examples(agent.output_schema or _KINDS[0], complete=False, limit=20))
            run.report(step, run.claimed(step), random.choice(answers))
    return told
