"""Parallel and foreach: order, concurrency, joins, failures, nesting to any depth."""

from __future__ import annotations

import pytest

from station.contracts.errors import ErrorType, StepError
from station.core.messages import DecideApproval
from station.core.program import Limits
from tests.support.driven_run import DrivenRun, asked
from tests.unit.core.definitions import action, agent, approval, foreach, inject, parallel, switch, workflow


def over(items, *states, **fields):
    return DrivenRun(workflow(foreach("f", "list", *states, **fields)), {"list": items})


def test_items_run_one_at_a_time_unless_told_otherwise():
    run = over([10, 20, 30], agent("a", input={"agent": "x", "variables": {"item": "{{ item }}", "at": "{{ index }}"}}))
    for index, item in enumerate([10, 20, 30]):
        assert run.step("a").input["variables"] == {"item": item, "at": index}
        assert run.step("a").scope.foreach_index == index
        run.work("a", item + 1)
    assert run.run.output == [{"result": 11}, {"result": 21}, {"result": 31}]
    assert run.context["steps"]["f"] == run.run.output


@pytest.mark.parametrize("limit", [1, 2, 3, 9])
def test_at_most_so_many_items_are_open_and_the_order_of_results_is_that_of_the_items(limit):
    run = over(list(range(7)), agent("a", next="b"), agent("b"), maxConcurrency=limit)
    most = 0
    while run.run.ended is None:
        most = max(most, len(run.open()))
        last = run.open()[-1]
        run.work(last.state_name, last.scope.key, key=last.scope.key)
    assert most == min(limit, 7)
    assert run.run.output == [{"result": index} for index in range(7)]


@pytest.mark.parametrize("items", [[], [None], [[1], {"a": 2}]])
def test_empty_and_odd_items(items):
    run = over(items, agent("a", input={"agent": "x", "task": "{{ item }}"}))
    for _ in items:
        run.work("a", "ok")
    assert (run.status, run.run.output) == ("COMPLETED", [{"result": "ok"}] * len(items))


def test_items_that_need_nobody_end_in_one_turn():
    run = over(list(range(50)), inject("a", {"n": 1}), maxConcurrency=7)
    assert (run.status, len(run.run.output)) == ("COMPLETED", 50)
    assert len(run.decisions) == 1


def test_after_the_first_failure_no_new_item_starts_and_those_running_finish():
    run = over(list(range(6)), agent("a"), maxConcurrency=3)
    run.work("a", "good", key=1)
    run.break_down("a", key=0)
    assert [step.scope.key for step in run.open("a")] == [2, 3]
    run.break_down("a", "tool_error", key=3)
    assert run.status == "RUNNING"
    run.work("a", "fine", key=2)

    assert (run.status, run.error.type) == ("FAILED", "agent_error")
    assert [(cause.where, cause.type) for cause in run.error.causes] == [("0", "agent_error"), ("3", "tool_error")]
    assert run.row("f")["output"] == '[null,{"result":"good"},{"result":"fine"},null,null,null]'
    assert len(run.of("state_entered")) == 5


def test_a_failure_within_the_first_turn_stops_the_items_that_would_have_begun():
    run = over(list(range(6)), inject("a", 1, resultPath="item.x.y"), maxConcurrency=3)
    assert run.status == "COMPLETED"
    run = over([0, 1, 2], agent("a", input={"agent": "x", "task": "{{ nope }}"}), maxConcurrency=3)
    assert (run.status, len(run.of("state_entered"))) == ("FAILED", 2)


def test_a_failed_item_can_recover_by_itself():
    run = over([1, 2], agent("a", onError="b"), inject("b", "sorry", resultPath="result"))
    run.break_down("a")
    run.work("a", "ok")
    assert [item["result"] for item in run.run.output] == ["sorry", "ok"]


def test_siblings_finish_and_every_error_is_listed():
    run = DrivenRun(
        workflow(parallel("p", one=[agent("a")], two=[agent("b", next="c"), agent("c")], three=[agent("d")]))
    )
    run.break_down("a", "timeout")
    run.work("b", 1)
    run.break_down("d", "timeout")
    assert run.status == "RUNNING"
    run.work("c", 2)
    error = run.error
    assert (run.status, error.type) == ("FAILED", "timeout")
    assert [(cause.where, cause.message) for cause in error.causes] == [("one", "a broke"), ("three", "d broke")]
    assert "2 of 'p' failed" in error.message
    assert run.row("p")["output"] == '{"two":{"result":2}}'


@pytest.mark.parametrize("kind", ["parallel", "foreach"])
def test_a_containers_failure_goes_to_its_on_error(kind):
    container = (
        parallel("p", one=[agent("a")], way_on={"end": True})
        if kind == "parallel"
        else foreach("p", "list", agent("a"))
    )
    run = DrivenRun(workflow(container | {"onError": "z"}, agent("z")), {"list": [1]})
    run.break_down("a")
    assert run.context["error"]["step"] == "p"
    assert run.context["steps"] == {}
    run.work("z", 1)
    assert run.status == "COMPLETED"


def test_a_failure_goes_up_through_all_containers():
    inner = foreach("f", "list", parallel("q", one=[agent("a")], two=[agent("b")]))
    run = DrivenRun(workflow(parallel("p", one=[inner], two=[agent("c")])), {"list": [1, 2]})
    run.break_down("a")
    run.work("b", 1)
    run.work("c", 1)
    assert run.status == "FAILED"
    assert [run.row(name)["status"] for name in ("p", "f", "q")] == ["FAILED"] * 3


def test_branches_join_by_name_with_what_they_wrote():
    run = DrivenRun(
        workflow(
            parallel(
                "p",
                one=[agent("a", resultPath="x.y")],
                two=[inject("i", {"k": 1})],
                three=[switch({"if": "True", "next": "z"}), agent("z")],
            )
        )
    )
    run.work("z", 3)
    run.work("a", 1)
    assert run.context["steps"]["p"] == {"one": {"x": {"y": 1}}, "two": {"k": 1}, "three": {"result": 3}}
    assert list(run.context["steps"]["p"]) == ["one", "two", "three"]


def test_a_joined_error_rate_reads_as_the_product_promises():
    states = [
        parallel("diagnostics", errors=[agent("e")], way_on={"next": "s", "resultPath": "steps.diagnostics"}),
        switch({"if": "result.error_rate > 0.05", "next": "y"}, dataPath="steps.diagnostics.errors", defaultNext="n"),
        inject("y", {"high": True}),
        inject("n", {"high": False}),
    ]
    run = DrivenRun(workflow(*states))
    run.work("e", {"error_rate": 0.08})
    assert run.run.output == {"high": True}


def test_everything_inside_everything():
    """Approvals, signals, timers, retries and switches in branches of items of branches, two items at a time."""
    ask = approval(onReject="after") | {"name": "ask", "next": "after"}
    del ask["end"]
    branches = {
        "person": [
            ask,
            switch({"if": "result == None", "next": "x"}, defaultNext="x")
            | {"name": "after", "dataPath": "result.decidedBy"},
            inject("x", {"seen": 1}),
        ],
        "signal": [action("signal.wait", signal="go{{ item }}") | {"name": "wait"}],
        "retry": [agent("work", retry={"maxAttempts": 2, "backoffSeconds": 5})],
        "timer": [action("timer.wait", seconds=3) | {"name": "timer"}],
        "deeper": [
            foreach(
                "again", "inner", agent("leaf", input={"agent": "x", "task": "{{ one }}/{{ item }}"}), itemName="one"
            )
        ],
    }
    loop = foreach("f", "list", parallel("q", **branches), maxConcurrency=2)
    run = DrivenRun(workflow(parallel("p", all=[loop])), {"list": [1, 2, 3], "inner": ["a", "b"]})
    turns = 0
    while run.run.ended is None and turns < 100:
        turns += 1
        step = run.open()[turns % len(run.open())]
        match step.state_name:
            case "ask":
                approval_id = asked(step).approval_id
                run.tell(DecideApproval(approval_id=approval_id, by="user:bob", approve=turns % 2 == 0))
            case "wait":
                run.signal(step.signal or "", "sent")
            case "work" if step.wake_at is None and step.attempt == 1:
                run.report(step, run.claimed(step), error=StepError(type=ErrorType.AGENT_ERROR, message="m"))
            case "work" | "timer" if step.wake_at is not None and step.wake_at > run.now:
                run.let_pass(3)
            case "work" | "leaf":
                run.report(step, run.claimed(step), step.input.get("task"))
            case _:
                run.let_pass(3)
    assert run.status == "COMPLETED"
    results = run.run.output["all"]["result"]
    assert [[leaf["result"] for leaf in item["result"]["deeper"]["result"]] for item in results] == [
        [f"a/{item}", f"b/{item}"] for item in (1, 2, 3)
    ]
    assert [item["result"]["signal"]["result"] for item in results] == ["sent"] * 3
    assert len(set(run.entered())) == 11


def test_sixteen_containers_deep():
    state = agent("leaf")
    for depth in range(16):
        state = foreach(f"f{depth}", "list", state) if depth % 2 else parallel(f"p{depth}", b=[state])
    run = DrivenRun(workflow(state), {"list": [1]})
    assert len(run.step("leaf").scope.path) == 16
    run.work("leaf", "deep")
    value = run.run.output
    while not isinstance(value, str):
        value = value[0] if isinstance(value, list) else value.get("b", value.get("result"))
    assert value == "deep"


def test_a_container_visited_again_has_steps_of_its_own():
    states = [
        foreach("f", "list", agent("a"), next="s", resultPath="out"),
        switch({"if": "again", "next": "off"}, defaultNext="z"),
        inject("off", {"again": False}, next="f"),
        inject("z", {"done": True}),
    ]
    run = DrivenRun(workflow(*states), {"list": [1, 2], "again": True})
    for value in range(4):
        run.work("a", value)
    assert run.status == "COMPLETED"
    assert run.context["out"] == [{"result": 2}, {"result": 3}]
    steps = [row for row in run.history.steps.values() if row["state_name"] == "a"]
    assert [row["branch_path"] for row in steps] == ['[["f",0]]', '[["f",1]]', '[["f",0,2]]', '[["f",1,2]]']
    assert len({row["step_id"] for row in steps}) == 4


def test_the_list_that_is_gone_through_does_not_change_under_way():
    run = over(
        [{"n": 1}, {"n": 2}],
        inject("i", 9, resultPath="list", next="a"),
        agent("a", input={"agent": "x", "task": "{{ item.n }}"}),
    )
    assert run.step("a").input["task"] == 1
    run.work("a", 1)
    assert run.step("a").input["task"] == 2
    assert run.context["list"] == [{"n": 1}, {"n": 2}]


def test_an_item_is_written_to_only_in_its_own_scope():
    run = over(
        [{"n": 1}, {"n": 2}],
        inject("i", 9, resultPath="item.n", next="a"),
        agent("a", input={"agent": "x", "variables": "{{ item }}"}),
        maxConcurrency=2,
    )
    assert [step.input["variables"] for step in run.open("a")] == [{"n": 9}, {"n": 9}]
    assert run.context["list"] == [{"n": 1}, {"n": 2}]


def test_items_are_bounded_by_the_list_and_not_by_the_limit_against_loops():
    run = DrivenRun(
        workflow(foreach("f", "list", agent("a"), maxConcurrency=3)),
        {"list": list(range(9))},
        limits=Limits(max_states=1),
    )
    for _ in range(9):
        run.work("a", 1, key=run.open("a")[0].scope.key)
    assert run.status == "COMPLETED"


def test_a_loop_within_an_item_meets_the_limit_and_ends_the_run():
    again = [agent("a", next="s"), switch({"if": "index == 1", "next": "a"}, defaultNext="z"), inject("z", {})]
    run = DrivenRun(
        workflow(foreach("f", "list", *again, maxConcurrency=3)), {"list": [0, 1, 2]}, limits=Limits(max_states=6)
    )
    for _ in range(5):
        if run.open("a"):
            run.work("a", 1, key=run.open("a")[-1].scope.key)
    assert (run.status, run.error.type) == ("FAILED", "limit")
    assert run.decisions[-1].tasks == []
