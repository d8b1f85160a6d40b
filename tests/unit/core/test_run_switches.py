"""Switches: the way on, failures that are never taken for false, loops with visits and their limit."""

from __future__ import annotations

import pytest

from station.core.identity import step_id
from station.core.program import Limits
from tests.support.driven_run import DrivenRun
from tests.unit.core.definitions import agent, inject, parallel, switch, workflow

COSTLY = "len([x for x in list if x > {}]) > 0"


def going(*conditions, given=None, **fields):
    """Which of three ways a switch goes."""
    ways = [inject(name, {"way": name}) for name in ("a", "b", "c")]
    arms = [{"if": condition, "next": way} for condition, way in zip(conditions, ("a", "b"), strict=False)]
    return DrivenRun(workflow(switch(*arms, **fields), *ways), {"n": 1, "list": [1, 2], "yes": True} | (given or {}))


@pytest.mark.parametrize(
    ("conditions", "way"),
    [
        (("n == 1", "n == 1"), "a"),
        (("n == 2", "ctx.n == 1"), "b"),
        (("n == 2", "false"), "c"),
        (("input.n == 1",), "a"),
        ((COSTLY.format(1),), "a"),
        ((COSTLY.format(5), COSTLY.format(0)), "b"),
        (("n == 2", COSTLY.format(9)), "c"),
        (("list",), "a"),
    ],
)
def test_the_first_condition_that_holds_decides(conditions, way):
    run = going(*conditions, defaultNext="c")
    assert run.run.output == {"way": way}
    assert run.of("state_exited")[0].data.matched == {"a": 0, "b": 1, "c": None}[way]
    assert run.row("s")["status"] == "SUCCEEDED"


@pytest.mark.parametrize("condition", ["nope == 1", "n.x == 1", "n + yes == 2", COSTLY.format("nope"), "list[9] == 1"])
def test_a_condition_that_cannot_be_told_fails_the_run_even_with_a_default(condition):
    run = going(condition, defaultNext="c")
    assert (run.status, run.error.type, run.row("s")["status"]) == ("FAILED", "expression", "FAILED")
    assert "'s'" in run.error.message


def test_an_unknown_name_is_told_with_those_in_sight():
    run = going("nn == 1", defaultNext="c")
    assert "nn" in run.error.message
    assert "list" in run.error.message


@pytest.mark.parametrize(
    ("fields", "given"),
    [({}, {}), ({"dataPath": "no.where", "defaultNext": "c"}, {}), ({"dataPath": "n.x", "defaultNext": "c"}, {})],
)
def test_no_way_out_and_no_data_fail_the_step(fields, given):
    run = going("n == 2", given=given, **fields)
    assert (run.status, run.row("s")["status"]) == ("FAILED", "FAILED")


def test_names_have_their_order():
    data = {"value": 5, "n": 2, "result": {"k": 1}, "steps": 7}
    for condition in ("n == 2", "ctx.n == 1", "result.k == 1", "value.n == 2", "steps == {}"):
        run = going(condition, given={"data": data}, dataPath="data", defaultNext="c")
        assert run.run.output == {"way": "a"}, condition


def test_questions_of_several_branches_are_asked_in_one_turn():
    one, two, three = (
        [switch({"if": COSTLY.format(limit), "next": "x"}, defaultNext="y"), agent("x"), agent("y")]
        for limit in (0, 9, 1)
    )
    run = DrivenRun(workflow(parallel("p", one=one, two=two, three=three)), {"list": [1, 2]})
    assert [(step.state_name, step.scope.key) for step in run.open()] == [("x", "one"), ("y", "two"), ("x", "three")]
    assert len(run.decisions) == 1


def loop(limit):
    return workflow(
        agent("a", next="s", resultPath="n"),
        switch({"if": f"n < {limit}", "next": "a"}, defaultNext="z"),
        inject("z", {"done": True}),
    )


def test_a_loop_visits_anew_with_ids_of_its_own_and_the_first_keeps_the_plain_one():
    run = DrivenRun(loop(3))
    ids = []
    for n in (1, 2, 3):
        ids.append(run.step("a").step_id)
        run.work("a", n)
    assert run.status == "COMPLETED"
    assert ids == [step_id("run_1", "a", (), None, visit) for visit in (1, 2, 3)]
    assert ids[0] == "".join(step_id("run_1", "a", (), None, 1))
    assert len(set(ids)) == 3
    assert [event.data.visit for event in run.of("state_entered") if event.data.state_name == "s"] == [1, 2, 3]


def test_step_ids_never_collide():
    places = [(), (("a", "b"),), (("a", 0),), (("a", "0"),), (("a", 0, 2),), (("a", "b"), ("c", "d")), (("a,b", "c"),)]
    ids = {
        step_id(run, name, path, index, visit)
        for run in "rq"
        for name in ("s", "t")
        for path in places
        for index in (None, 0, 1)
        for visit in (1, 2, 3)
    }
    assert len(ids) == 2 * 2 * len(places) * 3 * 3


def test_a_run_may_enter_so_many_states_and_not_one_more():
    endless = workflow(
        inject("a", {"x": 1}, next="s"), switch({"if": "x == 1", "next": "a"}, defaultNext="z"), inject("z", {})
    )
    run = DrivenRun(endless, checked=False)
    assert (run.status, run.error.type, run.run.visited) == ("FAILED", "limit", 10_000)
    assert "'a'" in run.error.message
    exact = DrivenRun(workflow(inject("a", {"x": 1}, next="b"), inject("b", {})), limits=Limits(max_states=2))
    assert exact.status == "COMPLETED"
    assert DrivenRun(loop(9), limits=Limits(max_states=0)).status == "FAILED"


def test_two_thousand_states_in_one_turn():
    states = []
    for index in range(1000):
        states.append(inject(f"i{index}", {"n": index}, next=f"s{index}"))
        states.append(
            switch({"if": f"n == {index}", "next": f"i{index + 1}"}, defaultNext="end") | {"name": f"s{index}"}
        )
    states += [inject("i1000", {"last": True}, next="end"), inject("end", {"done": 1})]
    run = DrivenRun(workflow(*states), checked=False)
    assert (run.status, run.run.visited, len(run.decisions)) == ("COMPLETED", 2002, 1)
    assert run.context["n"] == 999
