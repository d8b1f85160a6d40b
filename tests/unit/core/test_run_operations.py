"""Operations: inputs from templates, where results go, how reads see scopes, and where a failure leads."""

from __future__ import annotations

import msgspec
import pytest

from station.contracts.errors import Cause, ErrorType, StepError
from station.core.program import Limits
from tests.support.driven_run import DrivenRun
from tests.unit.core.definitions import agent, approval, foreach, inject, parallel, switch, workflow


def with_input(**payload):
    return {"input": {"agent": "x"} | payload}


def test_results_go_below_steps_by_default_and_the_last_one_is_the_output():
    run = DrivenRun(workflow(agent("a", next="b"), agent("b")), {"given": 1})
    run.work("a", {"pods": 3})
    run.work("b", "done")

    assert run.context == {"given": 1, "steps": {"a": {"pods": 3}, "b": "done"}}
    assert (run.status, run.run.output) == ("COMPLETED", "done")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("found.pods", {"found": {"pods": {"n": 1}}, "steps": {}}),
        ("ctx.found", {"found": {"n": 1}, "steps": {}}),
        ("$.found", {"found": {"n": 1}, "steps": {}}),
        ("ctx", {"n": 1, "steps": {}}),
        ('a["b.c"]', {"a": {"b.c": {"n": 1}}, "steps": {}}),
        ("steps", {"steps": {"n": 1}}),
    ],
)
def test_a_result_path_says_where_the_value_goes(path, expected):
    run = DrivenRun(workflow(agent("a", resultPath=path)))
    run.work("a", {"n": 1})
    assert run.context == expected


def test_templates_keep_types_and_only_the_written_input_is_handed_over():
    variables = {
        "whole": "{{ config }}",
        "number": "{{ ctx.config.n }}",
        "text": "n={{ config.n }} list={{ config.list }} null={{ config.none }} b={{ config.yes }}",
        "deep": [{"x": "{{ config.list.1 }}"}],
        "twice": "{{ config.braces }}",
    }
    config = {"n": 1.5, "list": [1, {"a": 2}], "none": None, "yes": True, "braces": "{{ config.n }}"}
    run = DrivenRun(
        workflow(agent("a", **with_input(task="{{ config.list }}", variables=variables))), {"config": config}
    )

    (task,) = run.handed_out.values()
    assert task.variables == {
        "whole": config,
        "number": 1.5,
        "text": 'n=1.5 list=[1,{"a":2}] null= b=true',
        "deep": [{"x": {"a": 2}}],
        "twice": "{{ config.n }}",
    }
    assert task.task == '[1,{"a":2}]'


@pytest.mark.parametrize("path", ["steps.a.result.n", "steps.a.n", "steps.a.result.result.n"])
def test_result_always_reads(path):
    run = DrivenRun(workflow(agent("a", next="b"), agent("b", **with_input(variables={"n": f"{{{{ {path} }}}}"}))))
    run.work("a", {"n": 7})
    assert run.handed_out[run.step("b").step_id, 1].variables == {"n": 7}


def test_a_written_result_is_read_as_it_is():
    run = DrivenRun(workflow(agent("a", next="b"), agent("b", **with_input(task="{{ steps.a.result }}"))))
    run.work("a", {"result": "mine"})
    assert run.step("b").input["task"] == "mine"


@pytest.mark.parametrize(
    ("given", "seen"),
    [({"n": 1}, {"n": 1}), ({"n": 1, "input": {"m": 2}}, {"m": 2}), ({"input": None}, None)],
)
def test_input_names_the_original_input_unless_the_context_has_such_a_member(given, seen):
    states = [inject("i", 5, resultPath="n", next="a"), agent("a", **with_input(variables={"seen": "{{ input }}"}))]
    run = DrivenRun(workflow(*states), given)
    assert run.step("a").input["variables"]["seen"] == seen


def test_a_member_called_input_hides_the_original_one_entirely():
    states = [agent("a", **with_input(task="{{ input.n }}"))]
    run = DrivenRun(workflow(*states), {"n": 1, "input": {"m": 2}})
    assert (run.status, run.error.type) == ("FAILED", "validation")


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        (with_input(task="{{ stepz.a }}"), "validation", ["stepz.a", "'a'", "steps"]),
        (with_input(variables="{{ n }}"), "validation", ["'a'", "agent.run", "variables"]),
        (with_input(timeoutSeconds="{{ minus }}"), "validation", ["timeoutSeconds", "-1"]),
        (with_input(timeoutSeconds="{{ huge }}"), "validation", ["timeoutSeconds"]),
        ({"input": {"agent": "{{ n }}"}}, "validation", ["agent"]),
    ],
)
def test_an_input_that_cannot_be_made_fails_the_step(fields, kind, words):
    run = DrivenRun(workflow(agent("a", **fields)), {"n": 1, "minus": -1, "huge": 1e300})
    assert (run.status, run.error.type) == ("FAILED", kind)
    for word in words:
        assert word in run.error.message
    assert run.handed_out == {}


@pytest.mark.parametrize(
    ("path", "output"),
    [("n.below", 1), ("ctx", "text"), ("ctx", [1]), ("steps.a.b.c", 1)],
)
def test_a_result_that_cannot_be_written_fails_the_step(path, output):
    states = [inject("i", "text", resultPath="steps.a", next="a"), agent("a", resultPath=path)]
    run = DrivenRun(workflow(*states), {"n": 1})
    run.work("a", output)
    assert (run.status, run.error.type) == ("FAILED", "validation")
    assert run.row("a")["status"] == "FAILED"


@pytest.mark.parametrize(
    "state",
    [
        foreach("c", "list", inject("x", 1, resultPath="r"), resultPath="n.below"),
        foreach("c", "list", inject("x", 1, resultPath="r"), resultPath="ctx"),
        foreach("c", "nothing", inject("x", 1, resultPath="r"), resultPath="ctx"),
        parallel("c", one=[inject("x", 1, resultPath="r")]) | {"resultPath": "n.below"},
        inject("c", 1, resultPath="n.below"),
        foreach("c", "n", inject("x", 1, resultPath="r")),
        foreach("c", "nowhere", inject("x", 1, resultPath="r")),
    ],
)
def test_every_state_that_cannot_write_or_read_fails_as_a_step(state):
    run = DrivenRun(workflow(state), {"n": 1, "list": [1], "nothing": []})
    assert (run.status, run.error.type) == ("FAILED", "validation")
    assert run.row("c")["status"] == "FAILED"


@pytest.mark.parametrize("decide", ["approve", "reject", "let_pass"])
def test_an_answer_that_cannot_be_written_fails_the_approval_step(decide):
    ask = approval(onReject="b", onTimeout="b") | {"next": "b", "resultPath": "n.below"}
    del ask["end"]
    run = DrivenRun(workflow(ask, agent("b")), {"n": 1})
    getattr(run, decide)(*(["a"] if decide != "let_pass" else [61]))
    assert (run.status, run.error.type) == ("FAILED", "validation")


def test_on_error_goes_on_with_what_happened_in_the_context():
    states = [agent("a", onError="b"), agent("b", **with_input(task="{{ ctx.error.type }}: {{ error.message }}"))]
    run = DrivenRun(workflow(*states))
    run.break_down("a", "tool_error")

    assert run.context["error"] == {"step": "a", "type": "tool_error", "message": "a broke"}
    assert run.step("b").input["task"] == "tool_error: a broke"
    assert "a" not in run.context["steps"]
    run.work("b", 1)
    assert run.status == "COMPLETED"


def test_on_error_takes_the_failure_of_an_input_too():
    run = DrivenRun(workflow(agent("a", onError="b", **with_input(task="{{ nope }}")), agent("b")))
    assert run.context["error"]["type"] == "validation"
    assert run.step("b").status == "PENDING"


def test_a_failure_inside_a_branch_is_told_to_that_branch_only():
    run = DrivenRun(workflow(parallel("p", one=[agent("a", onError="b"), agent("b")], two=[agent("c")])))
    run.break_down("a")
    assert "error" not in run.context
    run.work("b", 1)
    run.work("c", 2)
    assert run.context["steps"]["p"]["one"] == {
        "error": {"step": "a", "type": "agent_error", "message": "a broke"},
        "result": 1,
    }


def test_reads_fall_through_scopes_path_by_path_and_writes_stay_local():
    inner = [
        agent("a", resultPath="steps.a", next="s"),
        switch({"if": 'steps.a.n == 1 and steps.b.n == 2 and "c" not in steps', "next": "d"}, defaultNext="e"),
        agent("d", **with_input(variables={"both": "{{ steps }}", "item": "{{ x }}", "at": "{{ index }}"})),
        agent("e"),
    ]
    states = [agent("b", next="f"), foreach("f", "list", *inner, itemName="x", maxConcurrency=2, resultPath="out")]
    run = DrivenRun(workflow(*states), {"list": ["p", "q"], "index": 99, "x": "outer"})
    run.work("b", {"n": 2})
    run.work("a", {"n": 1}, key=0)
    run.work("a", {"n": 1}, key=1)

    assert run.step("d", key=1).input["variables"] == {"both": {"a": {"n": 1}, "b": {"n": 2}}, "item": "q", "at": 1}
    assert run.context["steps"] == {"b": {"n": 2}}
    run.work("d", "first", key=0)
    run.work("d", "second", key=1)
    expected = [{"steps": {"a": {"n": 1}}, "result": "first"}, {"steps": {"a": {"n": 1}}, "result": "second"}]
    assert run.context["out"] == expected
    assert run.run.output == expected


def test_an_output_over_the_limit_fails_the_step():
    run = DrivenRun(workflow(agent("a")), limits=Limits(max_output_bytes=100))
    run.work("a", "x" * 99)
    assert (run.status, run.error.type) == ("FAILED", "payload_too_large")
    assert "101 bytes; the limit is 100" in run.error.message


def test_an_input_over_the_limit_fails_the_step():
    """A short text may ask for a large value many times; the message names the state, and nothing of it is stored."""
    state = agent("a", input={"agent": "x", "task": "{{ text }}" * 50})
    run = DrivenRun(workflow(state), {"text": "x" * 100}, limits=Limits(max_input_bytes=1000))
    assert (run.status, run.error.type) == ("FAILED", "payload_too_large")
    assert "input of state 'a'" in run.error.message
    assert "1000 bytes" in run.error.message
    assert len(msgspec.json.encode(run.events)) < 3000


def test_the_context_counts_what_open_containers_hold():
    limits = Limits(max_context_bytes=3000)
    states = [foreach("f", "list", agent("a"))]
    run = DrivenRun(workflow(*states), {"list": list(range(10))}, limits=limits)
    for _ in range(2):
        run.work("a", "x" * 1000)
    run.work("a", "x" * 1000)
    assert (run.status, run.error.type) == ("FAILED", "payload_too_large")


def test_writing_the_same_place_again_does_not_use_the_context_up():
    states = [agent("a", resultPath="r", next="s"), switch({"if": "r.go", "next": "a"}, defaultNext="a")]
    run = DrivenRun(workflow(*states), limits=Limits(max_context_bytes=3000))
    for _ in range(10):
        run.work("a", {"go": True, "x": "x" * 1000})
    assert run.status == "RUNNING"


def test_an_output_that_breaks_the_output_schema_fails_the_run():
    run = DrivenRun(workflow(agent("a"), outputSchema={"type": "object", "required": ["n"]}))
    run.work("a", {"m": 1})
    assert (run.status, run.error.type) == ("FAILED", "validation")
    assert "n" in run.error.message


def test_a_report_of_a_timeout_times_the_step_out_and_fails_the_run():
    run = DrivenRun(workflow(agent("a")))
    step = run.step("a")
    run.report(step, run.claimed(step), error=StepError(type=ErrorType.TIMEOUT, message="too slow"))
    assert (run.status, run.error.type, run.row("a")["status"]) == ("FAILED", "timeout", "TIMED_OUT")


@pytest.mark.parametrize("task", ["{{ steps }}", "{{ ctx }}", "{{ steps.a }}"])
def test_an_input_does_not_change_with_the_context(task):
    states = [
        inject("i", {"n": 1}, resultPath="steps.a", next="b"),
        agent("b", **with_input(task=task), resultPath="steps.a.b"),
    ]
    run = DrivenRun(workflow(*states))
    before = run.row("b")["input"]
    run.work("b", 1)
    assert run.row("b")["input"] == before


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("output", [nested(201), nested(5000), {(1, 2): 3}, "\ud800", object(), {"a": [2**64]}])
def test_an_output_that_is_no_json_fails_the_step(output):
    run = DrivenRun(workflow(agent("a")))
    run.work("a", output)
    assert (run.status, run.error.type) == ("FAILED", "validation")
    assert "'a' is not JSON" in run.error.message


@pytest.mark.parametrize(
    ("output", "stored"),
    [
        (float("nan"), None),
        ({1: b"x"}, {"1": "eA=="}),
        ((1, 2), [1, 2]),
        (nested(200), nested(200)),
        ([[]] * 999, [[]] * 999),
        (2**64 - 1, 2**64 - 1),
    ],
)
def test_an_output_is_taken_as_it_comes_back_from_the_store(output, stored):
    run = DrivenRun(workflow(agent("a")))
    run.work("a", output)
    assert run.run.output == stored


def test_a_long_error_is_cut():
    run = DrivenRun(workflow(agent("a")))
    step = run.step("a")
    causes = tuple(Cause(type=ErrorType.TOOL_ERROR, message="c" * 10**5) for _ in range(99))
    run.report(step, run.claimed(step), error=StepError(type=ErrorType.AGENT_ERROR, message="m" * 10**6, causes=causes))
    assert len(run.error.message) == 8000
    assert {len(cause.message) for cause in run.error.causes} == {8000}
    assert len(run.error.causes) == 50
