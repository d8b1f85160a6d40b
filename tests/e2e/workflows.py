"""Definitions for tests, as JSON is: a few short ways to say a state."""

import json
from typing import Any

from tests.support.driver import Driver

State = dict[str, Any]


def agent(name: str, run: str, task: str = "do it", variables: dict[str, Any] | None = None, **more: Any) -> State:
    """A state that runs an agent; without ``next`` it is the last one."""
    given = {"agent": run, "task": task} | ({"variables": variables} if variables else {})
    return operation(name, "agent.run", given, **more)


def ask(name: str, message: str = "Go on?", **more: Any) -> State:
    """A state that asks a person; what belongs to the question goes into its input."""
    fields = ("approvers", "quorum", "summaryPath", "onReject", "onTimeout", "allowSelfApproval")
    question = {"message": message} | {field: more.pop(field) for field in fields if field in more}
    return operation(name, "human.approval", question, **more)


def wait_signal(name: str, signal: str, **more: Any) -> State:
    return operation(name, "signal.wait", {"signal": signal}, **more)


def wait_timer(name: str, seconds: float, **more: Any) -> State:
    return operation(name, "timer.wait", {"seconds": seconds}, **more)


def operation(name: str, action: str, given: dict[str, Any], **more: Any) -> State:
    return _ending({"name": name, "type": "operation", "action": action, "input": given, **more})


def inject(name: str, data: dict[str, Any], **more: Any) -> State:
    return _ending({"name": name, "type": "inject", "data": data, **more})


def parallel(name: str, branches: dict[str, list[State]], **more: Any) -> State:
    written = [{"name": branch, "start": states[0]["name"], "states": states} for branch, states in branches.items()]
    return _ending({"name": name, "type": "parallel", "branches": written, **more})


def foreach(name: str, items: str, states: list[State], **more: Any) -> State:
    iterator = {"start": states[0]["name"], "states": states}
    return _ending({"name": name, "type": "foreach", "itemsPath": items, "iterator": iterator, **more})


def switch(name: str, conditions: dict[str, str], default: str | None = None, **more: Any) -> State:
    """``conditions``: the next state by condition, in order."""
    written = [{"if": condition, "next": state} for condition, state in conditions.items()]
    state: State = {"name": name, "type": "switch", "conditions": written, **more}
    return state | ({"defaultNext": default} if default else {})


def store(system: Driver, identity: str, *states: State, **more: Any) -> dict[str, Any]:
    """Store a definition that begins with the first state; the workflow."""
    document = {"id": identity, "version": "1.0", "start": states[0]["name"], "states": list(states), **more}
    return system.apply(_yaml(document))


def _ending(state: State) -> State:
    return state if "next" in state else state | {"end": True}


def _yaml(document: dict[str, Any]) -> str:
    """Each member on a line of its own, as JSON, which YAML is too."""
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in document.items())
