"""The canonical form: JSON names, defaults left out, the same content the same digest."""

from __future__ import annotations

from station.core.definition import (
    Condition,
    Definition,
    Inject,
    Operation,
    Retry,
    Switch,
    digest,
    from_canonical,
    to_canonical,
)

EXAMPLE = Definition(
    id="example",
    start="set",
    timeout_seconds=60,
    states=(
        Inject(name="set", data={"b": 1, "a": 2}, result_path="ctx.config", next="route"),
        Switch(name="route", conditions=(Condition(if_="config.a > 1", next="run"),), default_next="run"),
        Operation(name="run", action="agent.run", input={"agent": "x"}, retry=Retry(max_attempts=3), end=True),
    ),
)


def test_canonical_is_the_wire_shape() -> None:
    assert to_canonical(EXAMPLE) == {
        "id": "example",
        "start": "set",
        "timeoutSeconds": 60,
        "states": [
            {"type": "inject", "name": "set", "data": {"b": 1, "a": 2}, "resultPath": "ctx.config", "next": "route"},
            {
                "type": "switch",
                "name": "route",
                "conditions": [{"if": "config.a > 1", "next": "run"}],
                "defaultNext": "run",
            },
            {
                "type": "operation",
                "name": "run",
                "action": "agent.run",
                "input": {"agent": "x"},
                "retry": {"maxAttempts": 3},
                "end": True,
            },
        ],
    }


def test_canonical_reads_back() -> None:
    assert from_canonical(to_canonical(EXAMPLE)) == EXAMPLE


def test_digest_ignores_the_order_of_names_and_sees_content() -> None:
    same = to_canonical(EXAMPLE)
    same["states"][0]["data"] = {"a": 2, "b": 1}
    assert digest(from_canonical(same)) == digest(EXAMPLE)
    same["states"][0]["data"] = {"a": 2, "b": 2}
    assert digest(from_canonical(same)) != digest(EXAMPLE)
