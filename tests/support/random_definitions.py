"""Definitions drawn at random: every state type in every other, to a bounded depth, with ways back and ways that fail.

All chance comes from the ``random.Random`` that is handed in: a seed, or Hypothesis, which makes failures small.
"""

from __future__ import annotations

from random import Random
from typing import Any

GIVEN: dict[str, Any] = {"flag": True, "n": 2, "list": [1, 2, 3], "empty": [], "words": {"a": "x", "odd name": 1}}
"""The input that every drawn definition expects."""

SIGNALS = ("s1", "s2")
_CONDITIONS = ("flag", "not flag", "n > 1", "ctx.n == 5", "len([x for x in list if x > 2]) > 0", "n == 2", "nope.x")
_PATHS = (*[None] * 8, *["r"] * 4, "steps.shared.x", "steps.shared.x", "ctx", "flag.below", 'words["odd name"]')
_TEMPLATES = ("plain", "{{ n }}", "n is {{ n }}", "{{ list }}", "{{ steps }}", "{{ input.flag }}")
_MISSING = "{{ steps.nobody.here }}"
State = dict[str, Any]


def random_definition(random: Random, depth: int = 3) -> dict[str, Any]:
    """Draw a definition that loads without errors."""
    return {"id": "drawn", **_scope(random, depth), "timeoutSeconds": 500}


def _scope(random: Random, depth: int) -> dict[str, Any]:
    names = [f"s{index}" for index in range(random.randint(1, 4))]
    states = [_state(random, name, names, depth) for name in names]
    for state, following in zip(states, [*names[1:], None], strict=True):
        if state["type"] != "switch":
            state.update({"next": following} if following else {"end": True})
    return {"start": names[0], "states": states}


def _state(random: Random, name: str, names: list[str], depth: int) -> State:
    kinds = ["agent"] * 4 + ["approval", "signal", "timer", "switch", "inject"]
    if depth > 0:
        kinds += ["parallel", "foreach"] * 2
    make = _MAKERS[random.choice(kinds)]
    state = {"name": name, **make(random, names, depth)}
    if state["type"] != "switch":
        path = random.choice(_PATHS)
        if path is not None and (state["type"] != "inject" or path != "ctx"):
            state["resultPath"] = path
        if state["type"] != "inject" and random.random() < 0.3:
            state["onError"] = random.choice(names)
    return state


def _operation(action: str, **payload: Any) -> State:
    return {"type": "operation", "action": action, "input": payload}


def _agent(random: Random, _: list[str], __: int) -> State:
    task = _MISSING if random.random() < 0.05 else random.choice(_TEMPLATES)
    state = _operation("agent.run", agent="x", task=task)
    if random.random() < 0.5:
        retry: State = {"maxAttempts": random.randint(2, 3), "backoffSeconds": random.choice([0, 0, 1, 7])}
        state["retry"] = retry
        if random.random() < 0.3:
            retry["on"] = ["timeout", "validation", "agent_error"]
    if random.random() < 0.3:
        state["timeoutSeconds"] = random.choice([1, 5])
    return state


def _approval(random: Random, names: list[str], _: int) -> State:
    payload: dict[str, Any] = {"message": "go?", "quorum": random.choice([1, 1, 2])}
    payload["onReject"] = random.choice(["cancel", "fail", *names])
    payload["onTimeout"] = random.choice(["fail", *names])
    if random.random() < 0.5:
        payload["timeoutSeconds"] = random.choice([2, 20])
    if random.random() < 0.3:
        payload["summaryPath"] = random.choice(["words", "n"])
    return _operation("human.approval", **payload)


def _signal(random: Random, _: list[str], __: int) -> State:
    payload: dict[str, Any] = {"signal": random.choice(SIGNALS)}
    if random.random() < 0.4:
        payload["timeoutSeconds"] = random.choice([2, 20])
    return _operation("signal.wait", **payload)


def _timer(random: Random, _: list[str], __: int) -> State:
    return _operation("timer.wait", seconds=random.choice([0, 1, 10]))


def _switch(random: Random, names: list[str], _: int) -> State:
    conditions = [{"if": random.choice(_CONDITIONS), "next": random.choice(names)} for _ in range(random.randint(1, 2))]
    state: State = {"type": "switch", "conditions": conditions}
    if random.random() < 0.8:
        state["defaultNext"] = random.choice(names)
    return state


def _inject(random: Random, _: list[str], __: int) -> State:
    return {"type": "inject", "data": random.choice([{"n": 5}, {"flag": False}, {"deep": {"a": [1, {"b": None}]}}])}


def _parallel(random: Random, _: list[str], depth: int) -> State:
    branches = [{"name": f"b{index}", **_scope(random, depth - 1)} for index in range(random.randint(1, 3))]
    return {"type": "parallel", "branches": branches}


def _foreach(random: Random, _: list[str], depth: int) -> State:
    return {
        "type": "foreach",
        "itemsPath": random.choice(["list"] * 8 + ["empty", "flag"]),
        "maxConcurrency": random.choice([1, 2, 5]),
        "iterator": _scope(random, depth - 1),
    }


_MAKERS = {
    "agent": _agent,
    "approval": _approval,
    "signal": _signal,
    "timer": _timer,
    "switch": _switch,
    "inject": _inject,
    "parallel": _parallel,
    "foreach": _foreach,
}
