"""Every error that loading can find, with its place and its hint."""

# ruff: noqa: E501 - a table reads by its rows

from __future__ import annotations

from typing import Any

import pytest

from station.core.codes import MEANINGS, Code
from station.core.findings import MAX_FINDINGS, MAX_HINTS
from station.core.loading import AgentInfo, load
from tests.unit.core.definitions import action, agent, approval, foreach, inject, parallel, switch, workflow

RETRY = {"maxAttempts": 2}


def nested(levels: int) -> dict[str, Any]:
    state = agent("inner")
    for level in range(levels):
        state = foreach(f"f{level}", "list", state)
    return workflow(state)


def with_schema(schema: Any) -> dict[str, Any]:
    return workflow(agent(), inputSchema=schema)


CASES: list[tuple[str, Any, str, str, str]] = [
    # code, source, path, part of the message, part of the hint
    ("document_too_large", "a: " + "x" * 300_000, "", "262144", ""),
    ("document_syntax", "a: [", "", "line 2", ""),
    ("document_too_deep", "[" * 70, "/0" * 64, "nested more than 64", ""),
    ("document_not_object", "- a", "", "not a list", "begin with id"),
    ("document_not_object", "text", "", "not 'text'", "begin with id"),
    ("yaml_anchor", "a: &x 1", "/a", "anchor &x", "write the value out"),
    ("yaml_tag", "a: !!int 1", "/a", "tag", "leave it out"),
    ("duplicate_key", "a: 1\na: 2", "/a", "line 2", "keep one"),
    ("key_not_text", "1: 2", "", "line 1", "quotes"),
    ("bad_number", "a: .nan", "/a", "line 1", "quotes"),
    ("unknown_field", workflow(agent(), vesion="1"), "/vesion", "no field 'vesion'", "'version'"),
    ("unknown_field", workflow(agent(resultpath="x")), "/states/0/resultpath", "type operation", "'resultPath'"),
    ("unknown_field", workflow(agent(input={"agent": "x", "tasks": ""})), "/states/0/input/tasks", "agent.run", "'task'"),
    ("unknown_field", workflow(agent(retry={**RETRY, "backoff": 1})), "/states/0/retry/backoff", "retry", "backoffSeconds"),
    ("unknown_field", workflow({**agent(), "a/b": 1}), "/states/0/a~1b", "'a/b'", "known here"),
    ("unknown_field", workflow({**parallel("p", b=[agent()]), "itemName": "x"}), "/states/0/itemName", "parallel", ""),
    ("unknown_field", {**workflow(agent()), "states": [agent(id="z")]}, "/states/0/id", "'id'", ""),
    ("missing_field", {"id": "w"}, "", "'states'", "add"),
    ("missing_field", {"states": [agent()]}, "", "'id'", "add"),
    ("missing_field", workflow({"name": "a", "end": True}), "/states/0", "'type'", "add"),
    ("missing_field", workflow({"name": "a", "type": "operation", "end": True}), "/states/0", "'action'", "add"),
    ("missing_field", workflow(agent(input={"task": "t"})), "/states/0/input", "'agent'", "add"),
    ("missing_field", workflow({"name": "a", "type": "operation", "action": "agent.run"}), "/states/0", "'agent'", "add"),
    ("missing_field", workflow(action("human.approval", timeoutSeconds=1)), "/states/0/input", "'message'", "add"),
    ("missing_field", workflow(action("signal.wait")), "/states/0/input", "'signal'", "add"),
    ("missing_field", workflow({"name": "a", "type": "inject", "end": True}), "/states/0", "'data'", "add"),
    ("missing_field", workflow(agent(retry={})), "/states/0/retry", "'maxAttempts'", "add"),
    ("missing_field", workflow({"name": "a", "type": "foreach", "iterator": {"states": [agent()]}, "end": True}), "/states/0", "'itemsPath'", "add"),
    ("wrong_type", workflow(agent(), id=5), "/id", "must be text, not 5", "quotes"),
    ("wrong_type", workflow(agent(timeoutSeconds="60")), "/states/0/timeoutSeconds", "a number, not '60'", "without quotes"),
    ("wrong_type", "id: w\nstates:\n- name: a\n  type: inject\n  data: {}\n  end: True", "/states/0/end", "boolean", "lower case"),
    ("wrong_type", "id: w\nstates:\n- name: a\n  type: inject\n  data: {}\n  next:", "/states/0/next", "not null", "leave the field out"),
    ("wrong_type", {**workflow(agent()), "states": [agent(), "text"]}, "/states/1", "an object, not 'text'", ""),
    ("wrong_type", {**workflow(agent()), "states": {}}, "/states", "a list, not an object", ""),
    ("wrong_type", workflow(agent(input=[])), "/states/0/input", "an object, not a list", ""),
    ("wrong_type", workflow(agent(retry={"maxAttempts": 1.5})), "/states/0/retry/maxAttempts", "an integer, not 1.5", ""),
    ("wrong_type", workflow(agent(retry={"maxAttempts": True})), "/states/0/retry/maxAttempts", "not true", ""),
    ("wrong_type", workflow(agent(), labels={"a": 1}), "/labels/a", "text", ""),
    ("bad_value", workflow(agent(), labels={"a:b/c": "x"}), "/labels/a:b~1c", "':' in its name", "rename it"),
    ("bad_value", workflow(agent(), labels={"a=": "x"}), "/labels/a=", "'=' in its name", "rename it"),
    ("bad_value", workflow(agent(), labels={"": "x"}), "/labels/", "needs a name", "rename it"),
    ("wrong_type", workflow(switch({"if": True, "next": "s"})), "/states/0/conditions/0/if", "text, not true", "quotes"),
    ("wrong_type", workflow(approval(approvers="team:x")), "/states/0/input/approvers", "a list", ""),
    ("wrong_type", workflow(approval(allowSelfApproval="yes")), "/states/0/input/allowSelfApproval", "boolean", "true or false"),
    ("wrong_type", workflow(agent(input={"agent": "x", "variables": [1]})), "/states/0/input/variables", "object", ""),
    ("bad_value", workflow(agent(), id="a b"), "/id", "'a b'", "letters, digits"),
    ("bad_value", {"id": "w", "states": []}, "/states", "at least 1 member", ""),
    ("bad_value", {"id": "w", "states": [agent(' a"')]}, "/states/0/name", "cannot be a name", "without quotes"),
    ("bad_value", workflow(agent(timeoutSeconds=-1)), "/states/0/timeoutSeconds", "more than 0", ""),
    ("bad_value", workflow(agent(timeoutSeconds=0)), "/states/0/timeoutSeconds", "more than 0", ""),
    ("bad_value", workflow(agent(), timeoutSeconds=1e12), "/timeoutSeconds", "at most", ""),
    ("bad_value", workflow(agent(retry={"maxAttempts": 0})), "/states/0/retry/maxAttempts", "at least 1", ""),
    ("bad_value", workflow(agent(retry={**RETRY, "jitter": 1.1})), "/states/0/retry/jitter", "at most 1", ""),
    ("bad_value", workflow(agent(retry={**RETRY, "backoffSeconds": -1})), "/states/0/retry/backoffSeconds", "at least 0", ""),
    ("bad_value", workflow(agent(retry={**RETRY, "multiplier": 0})), "/states/0/retry/multiplier", "at least 1", ""),
    ("bad_value", workflow(foreach("f", "x", agent(), maxConcurrency=0)), "/states/0/maxConcurrency", "at least 1", ""),
    ("bad_value", workflow(foreach("f", "x", agent(), itemName="a.b")), "/states/0/itemName", "'a.b'", "one plain name"),
    ("bad_value", workflow(foreach("f", "x", agent(), itemName="index")), "/states/0/itemName", "'index'", "index"),
    ("bad_value", workflow(inject("a", 5)), "/states/0/data", "merged", "resultPath"),
    ("bad_value", workflow(approval(quorum=0)), "/states/0/input/quorum", "at least 1", ""),
    ("bad_value", workflow(approval(quorum=2, approvers=["user:x"])), "/states/0/input/quorum", "never be reached", "lower"),
    ("bad_value", workflow(approval(approvers=[])), "/states/0/input/approvers", "at least 1", ""),
    ("bad_value", workflow(approval(approvers=["usr:x"])), "/states/0/input/approvers/0", "'usr:x'", "user:<name>"),
    ("bad_value", workflow(approval(onReject="{{ x }}")), "/states/0/input/onReject", "way on", "cannot be a template"),
    ("bad_value", workflow(action("timer.wait")), "/states/0/input", "exactly one", ""),
    ("bad_value", workflow(action("timer.wait", seconds=1, until="{{ x }}")), "/states/0/input", "exactly one", ""),
    ("bad_value", workflow(action("timer.wait", until="tomorrow")), "/states/0/input/until", "not a time", "RFC 3339"),
    ("bad_value", workflow(action("timer.wait", seconds=-1)), "/states/0/input/seconds", "at least 0", ""),
    ("bad_value", workflow(action("signal.wait", signal=" ")), "/states/0/input/signal", "empty", ""),
    ("bad_duration", workflow(agent(timeout="soon")), "/states/0/timeout", "'soon'", "2m"),
    ("bad_duration", workflow(agent(timeout="2m", timeoutSeconds=1)), "/states/0/timeout", "timeoutSeconds is there", ""),
    ("unknown_type", workflow({"name": "a", "type": "opertion"}), "/states/0/type", "'opertion'", "'operation'"),
    ("unknown_action", workflow(action("agent.rum")), "/states/0/action", "'agent.rum'", "'agent.run'"),
    ("unknown_action", workflow(action("http.call")), "/states/0/action", "'http.call'", "known here"),
    ("unknown_error_type", workflow(agent(retry={**RETRY, "on": ["timeouts"]})), "/states/0/retry/on/0", "'timeouts'", "'timeout'"),
    ("unsupported_join", workflow({**parallel("p", b=[agent()]), "join": {"mode": "any"}}), "/states/0/join/mode", "'any'", "all"),
    ("nested_too_deep", nested(17), "/states/0" + "/iterator/states/0" * 16, "more than 16", "workflow of its own"),
    ("missing_name", {"id": "w", "states": [{"type": "inject", "data": {}, "end": True}]}, "/states/0", "'name'", "add"),
    ("missing_name", {"id": "w", "states": [agent("")]}, "/states/0/name", "empty", ""),
    ("missing_name", workflow({"name": "p", "type": "parallel", "branches": [{"states": [agent()]}], "end": True}), "/states/0/branches/0", "'name'", "add"),
    ("duplicate_name", workflow(agent(next="b"), agent("b"), agent("b")), "/states/2/name", "/states/1", "of its own"),
    ("duplicate_name", workflow({"name": "p", "type": "parallel", "end": True, "branches": [{"name": "b", "states": [agent()]}] * 2}), "/states/0/branches/1/name", "'b'", "of its own"),
    ("unknown_state", workflow(agent(next="stepp"), agent("step")), "/states/0/next", "'stepp'", "'step'"),
    ("unknown_state", workflow(agent(), start="b"), "/start", "'b'", "known here: a"),
    ("unknown_state", workflow(agent(onError="b")), "/states/0/onError", "'b'", "known here: a"),
    ("unknown_state", workflow(switch(defaultNext="b")), "/states/0/defaultNext", "'b'", "known here: s"),
    ("unknown_state", workflow(switch({"if": "True", "next": "b"})), "/states/0/conditions/0/next", "'b'", "known here: s"),
    ("unknown_state", workflow(approval(onReject="b")), "/states/0/input/onReject", "'b'", "known here: a"),
    ("unknown_state", workflow(approval(onTimeout="cancel")), "/states/0/input/onTimeout", "'cancel'", "known here: a"),
    ("unknown_state", workflow(parallel("p", b=[agent(next="p")])), "/states/0/branches/0/states/0/next", "this scope", "a"),
    ("next_and_end", workflow(agent(next="a", end=True)), "/states/0", "both", ""),
    ("switch_without_way_out", workflow(switch()), "/states/0", "no way out", "defaultNext"),
    ("switch_transition", workflow(switch(defaultNext="s", next="s")), "/states/0/next", "next does nothing", "defaultNext"),
    ("switch_transition", workflow(switch(defaultNext="s", end=True)), "/states/0/end", "end does nothing", "defaultNext"),
    ("bad_expression", workflow(switch({"if": "a >", "next": "s"})), "/states/0/conditions/0/if", "character", "Starlark"),
    ("bad_expression", workflow(switch({"if": "lenn(a) > 1", "next": "s"})), "/states/0/conditions/0/if", '"lenn"', "Starlark"),
    (
        "bad_expression",
        workflow(
            switch({"if": "namespac == 'x'", "next": "s"}),
            inputSchema={"properties": {"namespace": {}}, "additionalProperties": False},
        ),
        "/states/0/conditions/0/if", '"namespace"', "in the context",
    ),
    ("bad_path", workflow(agent(resultPath="a..b")), "/states/0/resultPath", "character 3", "joined by dots"),
    ("bad_path", workflow(switch(dataPath="{{ a }}", defaultNext="s")), "/states/0/dataPath", "bad path", "without {{"),
    ("bad_path", workflow(foreach("f", "a b", agent())), "/states/0/itemsPath", "character 2", "joined by dots"),
    ("bad_path", workflow(approval(summaryPath="a.")), "/states/0/input/summaryPath", "character 3", "joined by dots"),
    ("bad_template", workflow(agent(input={"agent": "x", "task": "in {{ a"})), "/states/0/input/task", "never closed", "inject"),
    (
        "bad_template",
        workflow(agent(input={"agent": "x", "variables": {"v/w": ["{{ a + 1 }}"]}})),
        "/states/0/input/variables/v~1w/0", "only a path", "{{ path }}",
    ),
    ("bad_schema", with_schema({"properties": {"a": {"type": "strin"}}}), "/inputSchema/properties/a/type", "strin", ""),
    ("bad_schema", workflow(agent(), outputSchema={"$ref": "http://x.test/"}), "/outputSchema/$ref", "outside", "$defs"),
    ("agent_missing", workflow(agent(input={"agent": "k8s-triag"})), "/states/0/input/agent", "'k8s-triag'", "'k8s-triage'"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "source", "path", "message", "hint"), CASES)
def test_error(code: str, source: Any, path: str, message: str, hint: str) -> None:
    agents = {"k8s-triage": AgentInfo("k8s-triage"), "x": AgentInfo("x")}
    loaded = load(source, agents=agents, agents_required=True)
    assert loaded.definition is None
    assert [error.code for error in loaded.errors] == [code]
    problem = loaded.errors[0]
    assert problem.path == path
    assert message in problem.message
    assert hint in (problem.hint or "")


def test_every_error_code_has_a_case() -> None:
    errors = {code.value for code, meaning in MEANINGS.items() if meaning.severity in ("error", "either")}
    assert errors - {"schema_cannot"} == {case[0] for case in CASES}
    assert set(MEANINGS) == set(Code)


def test_every_error_code_but_these_has_a_case_with_a_hint() -> None:
    """What to do is in the message of these already, or there is nothing to add."""
    hinted = {case[0] for case in CASES if case[4]}
    without = {"document_too_large", "document_syntax", "document_too_deep", "next_and_end"}
    assert {case[0] for case in CASES} - hinted == without


def test_all_problems_are_reported_at_once() -> None:
    source = workflow(
        agent(next="nowhere", timeoutSeconds="1"),
        switch(),
        parallel("p", b=[agent(extra=1), {"type": "x"}]),
        version=1,
        inputSchema={"type": "x"},
    )
    loaded = load(source)
    assert sorted((error.code, error.path) for error in loaded.errors) == [
        ("bad_schema", "/inputSchema/type"),
        ("switch_without_way_out", "/states/1"),
        ("unknown_field", "/states/2/branches/0/states/0/extra"),
        ("unknown_state", "/states/0/next"),
        ("unknown_type", "/states/2/branches/0/states/1/type"),
        ("wrong_type", "/states/0/timeoutSeconds"),
    ]
    assert {warning.path for warning in loaded.warnings} >= {"/states/1", "/states/2"}


def test_problems_point_to_the_spelling_that_was_used() -> None:
    source = {
        "id": "w",
        "states": [
            {"id": "a", "type": "agent", "agent": "", "timeout": "0s", "transition": "nowhere"},
        ],
    }
    assert sorted((error.code, error.path) for error in load(source).errors) == [
        ("bad_value", "/states/0/agent"),
        ("bad_value", "/states/0/timeout"),
        ("unknown_state", "/states/0/transition"),
    ]


@pytest.mark.parametrize("junk", [None, 0, True, "x", [], {}, [None], [{}], {"a": [1]}])
@pytest.mark.parametrize(
    "field",
    [
        "id",
        "start",
        "states",
        "inputSchema",
        "name",
        "type",
        "action",
        "input",
        "next",
        "retry",
        "branches",
        "iterator",
        "conditions",
        "data",
        "join",
        "onError",
        "resultPath",
        "itemsPath",
    ],
)
def test_no_junk_crashes_the_loader(field: str, junk: Any) -> None:
    for kind in ("operation", "switch", "parallel", "inject", "foreach"):
        state = {"name": "a", "type": kind, "action": "human.approval", "end": True, field: junk}
        load({"id": "w", "states": [state], field: junk}, agents={})
        load({"id": "w", "states": [{"name": "p", "type": "parallel", "branches": [{"name": "b", "states": [state]}]}]})


def test_thousands_of_mistakes_are_cut_short() -> None:
    states = [inject(f"state{i}", {}, next=f"stat{i}") for i in range(3000)]
    errors = load(workflow(*states)).errors
    assert len(errors) == MAX_FINDINGS
    assert [error.hint is not None for error in errors] == [place < MAX_HINTS for place in range(MAX_FINDINGS)]


def test_data_that_is_not_json_is_an_error() -> None:
    assert load({"id": object()}).errors[0].code == "document_syntax"
