"""Other spellings: each becomes canonical, twice is once, and problems point to what the author wrote."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.core.spellings import normalise, seconds_of


def state(data: dict[str, Any]) -> dict[str, Any]:
    return normalise({"id": "w", "states": [data]}).data["states"][0]


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ({"id": "a", "type": "inject"}, {"name": "a", "type": "inject"}),
        ({"name": "a", "transition": "b"}, {"name": "a", "next": "b"}),
        ({"name": "a", "operation": "agent.run"}, {"name": "a", "action": "agent.run"}),
        ({"name": "a", "itemVariable": "x"}, {"name": "a", "itemName": "x"}),
        (
            {"name": "a", "type": "agent", "agent": "x", "task": "do {{ $.y }}", "variables": {"v": 1}, "end": True},
            {
                "name": "a",
                "type": "operation",
                "action": "agent.run",
                "input": {"agent": "x", "task": "do {{ ctx.y }}", "variables": {"v": 1}},
                "end": True,
            },
        ),
        (
            {"name": "a", "type": "human_approval", "message": "ok?", "approvers": ["x"], "timeout": "1h30m"},
            {
                "name": "a",
                "type": "operation",
                "action": "human.approval",
                "input": {"message": "ok?", "approvers": ["x"]},
                "timeoutSeconds": 5400,
            },
        ),
        (
            {"name": "a", "type": "operation", "input": {"task": "agent.run", "agent": "x", "agent_task": "do"}},
            {"name": "a", "type": "operation", "action": "agent.run", "input": {"agent": "x", "task": "do"}},
        ),
        ({"name": "a", "input": {"timeout": "250ms"}}, {"name": "a", "input": {"timeoutSeconds": 0.25}}),
        ({"name": "a", "timeout": 30}, {"name": "a", "timeoutSeconds": 30}),
        (
            {"name": "a", "resultPath": "$.r", "dataPath": "$", "itemsPath": '$["x"]', "input": {"summaryPath": "$.s"}},
            {
                "name": "a",
                "resultPath": "ctx.r",
                "dataPath": "ctx",
                "itemsPath": 'ctx["x"]',
                "input": {"summaryPath": "ctx.s"},
            },
        ),
        (
            {"name": "a", "conditions": [{"if": "$.x > 1 and y == '$.z'", "transition": "b"}]},
            {"name": "a", "conditions": [{"if": "ctx.x > 1 and y == '$.z'", "next": "b"}]},
        ),
        ({"name": "a", "timeout": "soon"}, {"name": "a", "timeout": "soon"}),
        ({"name": "a", "next": "b", "transition": "c"}, {"name": "a", "next": "b", "transition": "c"}),
        ({"name": "a", "data": {"id": "x", "t": "{{ $.y }}"}}, {"name": "a", "data": {"id": "x", "t": "{{ $.y }}"}}),
    ],
)
def test_becomes_canonical(written: dict[str, Any], canonical: dict[str, Any]) -> None:
    before = copy.deepcopy(written)
    assert state(written) == canonical
    assert written == before


def test_branches_and_iterators_are_reached() -> None:
    inner = {"id": "i", "type": "agent", "agent": "x"}
    canonical = {"name": "i", "type": "operation", "action": "agent.run", "input": {"agent": "x"}}
    assert state({"branches": [{"name": "b", "states": [inner]}]})["branches"][0]["states"] == [canonical]
    assert state({"iterator": {"states": [inner]}})["iterator"]["states"] == [canonical]


@pytest.mark.parametrize(
    ("written", "pointer", "author"),
    [
        ({"id": "a"}, "/states/0/name", "/states/0/id"),
        ({"transition": "b"}, "/states/0/next", "/states/0/transition"),
        ({"type": "agent", "agent": "x"}, "/states/0/input/agent", "/states/0/agent"),
        ({"type": "agent", "agent_task": "x"}, "/states/0/input/task", "/states/0/agent_task"),
        ({"type": "agent", "variables": {"v": 1}}, "/states/0/input/variables/v", "/states/0/variables/v"),
        ({"input": {"task": "agent.run"}}, "/states/0/action", "/states/0/input/task"),
        ({"timeout": "2m"}, "/states/0/timeoutSeconds", "/states/0/timeout"),
        ({"conditions": [{"transition": "b"}]}, "/states/0/conditions/0/next", "/states/0/conditions/0/transition"),
        ({"name": "a"}, "/states/0/name", "/states/0/name"),
    ],
)
def test_problems_point_to_what_was_written(written: dict[str, Any], pointer: str, author: str) -> None:
    assert normalise({"states": [written]}).author_pointer(pointer) == author


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2m", 120),
        ("1h", 3600),
        ("1h30m", 5400),
        ("90s", 90),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("1m500ms", 60.5),
        ("0s", 0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "2 minutes", "-2m", "m", "1m1h", "٣s s"])
def test_what_is_no_duration(text: str) -> None:
    assert seconds_of(text) is None


VALUE = st.recursive(
    st.none()
    | st.integers(0, 5)
    | st.sampled_from(["agent", "human_approval", "agent.run", "2m", "$.x", "{{ $.x }}", "operation"]),
    lambda value: st.lists(value, max_size=3) | st.dictionaries(st.text(max_size=3), value, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    [
        "id",
        "name",
        "type",
        "transition",
        "next",
        "agent",
        "task",
        "agent_task",
        "variables",
        "message",
        "operation",
        "action",
        "input",
        "timeout",
        "timeoutSeconds",
        "itemVariable",
        "itemName",
        "resultPath",
        "conditions",
        "data",
    ]
)
STATE = st.deferred(
    lambda: (
        st.dictionaries(FIELDS, VALUE | st.dictionaries(FIELDS, VALUE, max_size=4), max_size=8)
        | st.fixed_dictionaries(
            {"branches": st.lists(st.fixed_dictionaries({"states": st.lists(STATE, max_size=2)}), max_size=2)}
        )
        | st.fixed_dictionaries({"iterator": st.fixed_dictionaries({"states": st.lists(STATE, max_size=2)})})
    )
)


@given(st.fixed_dictionaries({"states": st.lists(STATE, max_size=3)}) | VALUE)
def test_twice_is_once(data: Any) -> None:
    once = normalise(data).data
    assert normalise(once).data == once
