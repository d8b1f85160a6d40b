"""The environment that the workloads run in: a step that does nothing, and one workflow per shape."""

from pathlib import Path
from typing import Any

import msgspec

from tests.benchmarks.scale import BRANCHES, STEPS

ENVIRONMENT = "default"
SEQUENTIAL, PARALLEL, PARKED, FOREACH, CHAIN = "sequential", "parallel", "parked", "foreach", "chain"
REVIEWED = "reviewed"
SIGNAL = "go"
ANSWER = {
    "status": "healthy",
    "summary": "no-op step for the benchmark, returns a small JSON object",
    "pods": [{"name": "api-7d9f8c6b5-x2x1z", "ready": True}, {"name": "api-7d9f8c6b5-q8w7e", "ready": True}],
    "error_rate": 0.0123,
    "n": 42,
}
"""About 200 bytes, the same as every peer's step returns."""


def write_environment(directory: Path, *, max_concurrency: int, chain_states: int) -> None:
    """Write the agent and the workflows as files of one environment."""
    agents, workflows = directory / ENVIRONMENT / "agents", directory / ENVIRONMENT / "workflows"
    agents.mkdir(parents=True)
    workflows.mkdir()
    matter = _text({"model": "scripted", "scripted": [{"answer": ANSWER}]})
    (agents / "noop.prompt").write_text(f"---\n{matter}\n---\nDoes nothing.\n")
    for definition in (sequential(), parallel(), parked(), foreach(max_concurrency), chain(chain_states), reviewed()):
        (workflows / f"{definition['id']}.workflow.json").write_text(_text(definition))


def sequential() -> dict[str, Any]:
    """Five steps, one after the other."""
    states = [_step(f"s{number}") | {"next": f"s{number + 1}"} for number in range(1, STEPS)]
    return _workflow(SEQUENTIAL, [*states, _step(f"s{STEPS}") | {"end": True}])


def parallel() -> dict[str, Any]:
    """A hundred branches of one step, and a join."""
    branches = [{"name": f"b{number}", "states": [_step("work") | {"end": True}]} for number in range(BRANCHES)]
    return _workflow(PARALLEL, [{"name": "all", "type": "parallel", "branches": branches, "end": True}])


def parked() -> dict[str, Any]:
    """Waits for a signal and ends."""
    wait = {"name": "wait", "type": "operation", "action": "signal.wait", "input": {"signal": SIGNAL}, "end": True}
    return _workflow(PARKED, [wait])


def reviewed() -> dict[str, Any]:
    """A step, and a person who approves what it has found."""
    ask = {"name": "ask", "type": "operation", "action": "human.approval", "input": {"message": "Go on?"}, "end": True}
    return _workflow(REVIEWED, [_step("work") | {"next": "ask"}, ask])


def foreach(max_concurrency: int) -> dict[str, Any]:
    """One step for each of the input's ``items``."""
    each = {"states": [_step("work") | {"end": True}]}
    state = {"name": "each", "type": "foreach", "itemsPath": "items", "maxConcurrency": max_concurrency}
    return _workflow(FOREACH, [state | {"iterator": each, "end": True}])


def chain(states: int) -> dict[str, Any]:
    """An inject, a switch on what it has written, an inject, and so on; no step leaves the scheduler."""
    names = [f"s{number}" for number in range(states)]
    found: list[dict[str, Any]] = []
    for number, name in enumerate(names[:-1]):
        if number % 2 == 0:
            found.append({"name": name, "type": "inject", "data": {"n": number}, "next": names[number + 1]})
        else:
            way = {"if": f"n == {number - 1}", "next": names[number + 1]}
            found.append({"name": name, "type": "switch", "conditions": [way]})
    return _workflow(CHAIN, [*found, {"name": names[-1], "type": "inject", "data": {"n": -1}, "end": True}])


def _step(name: str) -> dict[str, Any]:
    return {"name": name, "type": "operation", "action": "agent.run", "input": {"agent": "noop", "task": "go"}}


def _workflow(name: str, states: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": name, "version": "1", "start": states[0]["name"], "states": states}


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
