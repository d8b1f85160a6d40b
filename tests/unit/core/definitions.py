"""Small definitions for tests, as data."""

from __future__ import annotations

from typing import Any


def workflow(*states: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A workflow of these states that begins with the first."""
    return {"id": "w", "start": states[0].get("name", "a"), "states": list(states), **fields}


def agent(name: str = "a", **fields: Any) -> dict[str, Any]:
    """An operation that runs an agent and, unless told otherwise, ends."""
    way_on = {} if "next" in fields or "end" in fields else {"end": True}
    return {"name": name, "type": "operation", "action": "agent.run", "input": {"agent": "x"}} | way_on | fields


def action(kind: str, **payload: Any) -> dict[str, Any]:
    """An operation of another action."""
    return {"name": "a", "type": "operation", "action": kind, "input": payload, "end": True}


def approval(**payload: Any) -> dict[str, Any]:
    """An approval with a deadline."""
    return action("human.approval", **({"message": "ok?", "timeoutSeconds": 60} | payload))


def switch(*conditions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A switch called `s`."""
    return {"name": "s", "type": "switch", "conditions": list(conditions)} | fields


def inject(name: str, data: Any, **fields: Any) -> dict[str, Any]:
    """An inject that, unless told otherwise, ends."""
    return {"name": name, "type": "inject", "data": data} | ({} if "next" in fields else {"end": True}) | fields


def parallel(name: str, /, *, way_on: dict[str, Any] | None = None, **branches: list[dict[str, Any]]) -> dict[str, Any]:
    """A parallel with these branches, each beginning with its first state."""
    arms = [{"name": arm, "start": states[0]["name"], "states": states} for arm, states in branches.items()]
    return {"name": name, "type": "parallel", "branches": arms} | (way_on or {"end": True})


def foreach(name: str, items_path: str, *states: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A foreach over these states, beginning with the first."""
    iterator = {"start": states[0]["name"], "states": list(states)}
    way_on = {} if "next" in fields else {"end": True}
    return {"name": name, "type": "foreach", "itemsPath": items_path, "iterator": iterator} | way_on | fields
