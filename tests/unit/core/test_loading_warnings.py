"""Every warning that loading can give, and the definitions that must give none."""

# ruff: noqa: E501 - a table reads by its rows

from __future__ import annotations

from typing import Any

import pytest

from station.core.codes import MEANINGS
from station.core.loading import AgentInfo, load
from tests.unit.core.definitions import action, agent, approval, foreach, inject, parallel, switch, workflow

SCHEMA = {"type": "object", "properties": {"namespace": {"type": "string"}, "count": {"type": "integer"}}}
AGENTS = {
    "x": AgentInfo("x"),
    "counts": AgentInfo(
        "counts",
        {"properties": {"n": {"type": "integer"}}, "required": ["n"]},
        {"properties": {"whole": {"type": "integer"}, "text": {"type": "string"}}},
    ),
    "asks": AgentInfo("asks", {"properties": {"task": {"type": "string"}}, "required": ["task"]}),
}


SCHEMAS = {"schema_may_fail", "unknown_member"}
"""What `test_loading_schemas.py` has."""


def task(name: str, text: str, **fields: Any) -> dict[str, Any]:
    return agent(name, input={"agent": "x", "task": text}, **fields)


def counts(name: str, variables: Any, **fields: Any) -> dict[str, Any]:
    return agent(name, input={"agent": "counts", "variables": variables}, **fields)


CASES: list[tuple[str, Any, str, str, str]] = [
    ("agent_missing", workflow(agent(input={"agent": "y"})), "/states/0/input/agent", "'y'", "known here"),
    ("start_left_out", {"id": "w", "states": [agent(next="b"), agent("b")]}, "", "'a', is taken", "start: a"),
    (
        "start_left_out",
        workflow({"name": "p", "type": "parallel", "end": True, "branches": [{"name": "b", "states": [agent(next="b"), agent("b")]}]}),
        "/states/0/branches/0", "'a', is taken", "start: a",
    ),
    ("unreachable_state", workflow(agent(), agent("b", next="a")), "/states/1", "'b'", "another state"),
    ("no_transition", workflow({"name": "a", "type": "inject", "data": {}}), "/states/0", "taken as an end", "end: true"),
    ("no_transition", workflow(agent(end=False)), "/states/0", "taken as an end", "end: true"),
    ("approval_without_deadline", workflow(action("human.approval", message="ok?")), "/states/0", "for ever", "timeoutSeconds"),
    (
        "budget_ignored",
        workflow({**approval(), "budget": {"maxTokens": 2}}),
        "/states/0/budget",
        "human.approval",
        "leave it out",
    ),
    ("retry_ignored", workflow({**approval(), "retry": {"maxAttempts": 2}}), "/states/0/retry", "human.approval", "leave it out"),
    ("timeout_ignored", workflow({**action("timer.wait", seconds=9), "timeoutSeconds": 5}), "/states/0/timeoutSeconds", "timer.wait", "wait for less"),
    ("unwritten_path", workflow(task("a", "{{ steps.b }}")), "/states/0/input/task", "no state writes 'steps.b'", "check the name"),
    ("unwritten_path", workflow(task("a", "{{ ctx.namespac }}"), inputSchema=SCHEMA), "/states/0/input/task", "the input does not have it", "'namespace'"),
    ("unwritten_path", workflow(agent("check", next="b"), task("b", "{{ steps.chek.x }}")), "/states/1/input/task", "'steps.chek.x'", "'steps.check'"),
    (
        "unwritten_path",  # only one of two ways passes the writer
        workflow(switch({"if": "x", "next": "a"}, defaultNext="b"), agent("a", next="b"), task("b", "{{ steps.a }}")),
        "/states/2/input/task", "can come here from 's' before 'steps.a'", "'a'",
    ),
    (
        "unwritten_path",  # the first round of a loop
        workflow(task("a", "{{ steps.s2 }}", next="s2"), agent("s2", next="s"), switch({"if": "x", "next": "a"}, defaultNext="e"), agent("e")),
        "/states/0/input/task", "can come here from the start before", "'s2'",
    ),
    ("unwritten_path", workflow(agent(onError="b"), task("b", "{{ steps.a }}")), "/states/1/input/task", "before", "'a'"),
    ("unwritten_path", workflow(agent(next="b"), task("b", "{{ error.message }}"), inputSchema=SCHEMA), "/states/1/input/task", "'error.message'", ""),
    ("unwritten_path", workflow(switch(dataPath="steps.x", defaultNext="e"), agent("e")), "/states/0/dataPath", "'steps.x'", ""),
    ("unwritten_path", workflow(switch({"if": "ctx.steps.x > 1", "next": "e"}), agent("e")), "/states/0/conditions/0/if", "'steps.x'", ""),
    ("unwritten_path", workflow(foreach("f", "steps.list", agent())), "/states/0/itemsPath", "'steps.list'", ""),
    ("unwritten_path", workflow(approval(summaryPath="steps.plan")), "/states/0/input/summaryPath", "'steps.plan'", ""),
    ("unwritten_path", workflow(foreach("f", "namespace", task("a", "{{ service }}")), inputSchema=SCHEMA), "/states/0/iterator/states/0/input/task", "'service'", ""),
    (
        "unwritten_path",  # what a branch writes stays in it until the join
        workflow(parallel("p", one=[agent()], two=[task("b", "{{ steps.p.one }}")])),
        "/states/0/branches/1/states/0/input/task", "before", "'p'",
    ),
    (
        "unwritten_path",  # branch names are known
        workflow(parallel("p", way_on={"next": "b"}, one=[agent()]), task("b", "{{ steps.p.two }}")),
        "/states/1/input/task", "no state writes 'steps.p.two'", "",
    ),
    (
        "unwritten_path",  # what an inject writes is known to the last member
        workflow(inject("i", {"limits": {"rate": 1}}, next="b"), task("b", "{{ limits.rat }}"), inputSchema=SCHEMA),
        "/states/1/input/task", "no state writes 'limits.rat'", "'limits.rate'",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("code", "source", "path", "message", "hint"), CASES)
def test_warning(code: str, source: Any, path: str, message: str, hint: str) -> None:
    loaded = load(source, agents=AGENTS)
    assert loaded.errors == ()
    assert loaded.definition is not None
    assert [warning.code for warning in loaded.warnings] == [code]
    problem = loaded.warnings[0]
    assert problem.path == path
    assert message in problem.message
    assert hint in (problem.hint or "")


def test_every_warning_code_has_a_case() -> None:
    warnings = {code.value for code, meaning in MEANINGS.items() if meaning.severity not in ("error", "note")}
    assert warnings - SCHEMAS - {"schema_cannot"} == {case[0] for case in CASES}


QUIET: dict[str, Any] = {
    "without a schema the input may hold anything": workflow(task("a", "{{ ctx.anything.at.all }}")),
    "input": workflow(task("a", "{{ input.namespace }} {{ steps }} {{ ctx }}"), inputSchema=SCHEMA),
    "an open schema": workflow(task("a", "{{ ctx.more }}"), inputSchema={**SCHEMA, "additionalProperties": True}),
    "default path": workflow(agent(next="b"), task("b", "{{ steps.a.result.x }} {{ steps.a.y }}")),
    "both ways write": workflow(
        switch({"if": "x", "next": "a"}, defaultNext="b"),
        agent("a", resultPath="steps.r", next="c"),
        agent("b", resultPath="steps.r", next="c"),
        task("c", "{{ steps.r }}"),
    ),
    "a loop": workflow(
        agent("a", next="s"), switch({"if": "steps.a.more", "next": "a"}, defaultNext="e"), task("e", "{{ steps.a }}")
    ),
    "onError": workflow(agent(onError="b"), task("b", "{{ error.type }} {{ ctx.error.step }}"), inputSchema=SCHEMA),
    "root merge by an agent": workflow(agent(resultPath="ctx", next="b"), task("b", "{{ surprise }}"), inputSchema=SCHEMA),
    "inject": workflow(
        inject("i", {"limits": {"rate": 1}}, next="b"),
        task("b", "{{ limits.rate }} {{ limits }} {{ limits.rate.result }}"),
        inputSchema=SCHEMA,
    ),
    "iteration": workflow(
        foreach("f", "count", task("a", "{{ item.name }} {{ index }}", next="b"), task("b", "{{ result }}"), next="c"),
        task("c", "{{ steps.f.0.result }}"),
        inputSchema=SCHEMA,
    ),
    "scopes read through": workflow(
        agent("a", next="p"), parallel("p", way_on={"next": "e"}, one=[task("b", "{{ steps.a }}")]), task("e", "{{ steps.p.one.result.x }}")
    ),
    "members of the data": workflow(
        agent("a", next="s"), switch({"if": "error_rate > 1 and result.x and value.y", "next": "a"}, dataPath="steps.a", defaultNext="a"), inputSchema=SCHEMA
    ),
    "approval ways": workflow(
        approval(onReject="no", onTimeout="late") | {"end": False, "next": "e"},
        task("e", "{{ steps.a.approved }}"), task("no", "{{ steps.a.decidedBy }}"), task("late", "done"),
    ),
    "templates where the type is known only later": workflow(
        approval(timeoutSeconds="{{ t }}", quorum="{{ q }}", approvers="{{ list }}", allowSelfApproval="{{ yes }}")
    ),
    "timer": workflow(action("timer.wait", seconds="{{ t }}")),
    "until": workflow(action("timer.wait", until="2026-01-31T08:00:00+01:00")),
    "signal": workflow(action("signal.wait", signal="go-{{ x }}", timeoutSeconds=5)),
    "an agent known only when it runs": workflow(agent(input={"agent": "{{ which }}"})),
    "an agent of another environment": workflow(agent(input={"agent": "y@other"})),
    "fitting schemas": workflow(
        counts("a", {"n": 1}, next="b"), counts("b", {"n": "{{ steps.a.result.whole }}"}, next="c"), counts("c", {"n": "{{ count }}"}), inputSchema=SCHEMA
    ),
    "variables from a template": workflow(counts("a", "{{ all }}")),
    "the task counts as a variable": workflow(agent(input={"agent": "asks", "task": "do"})),
    "one state needs no start": {"id": "w", "states": [agent()]},
    "sixteen containers": None,
}  # fmt: skip


@pytest.mark.parametrize("name", QUIET)
def test_says_nothing(name: str) -> None:
    source = QUIET[name]
    if source is None:
        state = agent("inner")
        for level in range(16):
            state = foreach(f"f{level}", "list", state)
        source = workflow(state)
    loaded = load(source, agents=AGENTS)
    assert loaded.errors == ()
    assert loaded.warnings == ()


def test_agents_are_not_judged_without_an_environment() -> None:
    assert load(workflow(agent(input={"agent": "y"}))).warnings == ()
