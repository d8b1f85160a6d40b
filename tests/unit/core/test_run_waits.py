"""Signals, timers and deadlines."""

from __future__ import annotations

import pytest

from station.core.messages import ReachDeadline, WakeStep
from tests.support.driven_run import START_OF_TIME, DrivenRun
from tests.unit.core.definitions import action, agent, approval, foreach, parallel, switch, workflow


def waiting(name="w", signal="go", way_on=None, **payload):
    state = action("signal.wait", signal=signal, **payload) | {"name": name}
    if way_on:
        del state["end"]
        state["next"] = way_on
    return state


def pausing(name="t", **payload):
    return action("timer.wait", **payload) | {"name": name}


def test_a_signal_is_taken_with_its_payload():
    run = DrivenRun(workflow(waiting()))
    assert (run.status, run.step("w").status, run.step("w").signal) == ("WAITING_SIGNAL", "RUNNING", "go")
    run.signal("other", 1)
    assert run.status == "WAITING_SIGNAL"
    run.signal("go", {"n": 1})
    assert (run.status, run.run.output) == ("COMPLETED", {"n": 1})
    assert [row["consumed_by"] for row in run.history.signals.values()] == [None, run.row("w")["step_id"]]


def test_signals_that_come_early_are_kept_and_taken_in_order():
    run = DrivenRun(workflow(agent("a", next="w"), waiting(way_on="v"), waiting("v", way_on="u"), waiting("u")))
    run.signal("go", 1)
    run.signal("no", 0)
    run.signal("go", 2)
    run.work("a", None)
    assert run.context["steps"] == {"a": None, "w": 1, "v": 2}
    run.signal("go", 3)
    assert run.run.output == 3


def test_a_signal_id_is_accepted_once():
    run = DrivenRun(workflow(waiting(way_on="v"), waiting("v")))
    assert run.signal("go", 1, "sig_1").verdict == "accepted"
    assert run.signal("go", 2, "sig_1").verdict == "duplicate"
    assert run.decisions[-1].events == []
    assert run.status == "WAITING_SIGNAL"


def test_a_signal_that_is_sent_again_after_the_end_is_no_news():
    run = DrivenRun(workflow(waiting()))
    run.signal("go", 1, "sig_1")
    assert run.status == "COMPLETED"
    assert run.signal("go", 1, "sig_1").verdict == "duplicate"
    assert run.refusal is None
    run.signal("go", 1, "sig_2")
    assert run.refusal == "run_ended"


def test_of_two_that_wait_the_one_that_waited_longer_is_served_first():
    run = DrivenRun(workflow(parallel("p", one=[agent("a", next="w"), waiting()], two=[waiting("v")])))
    run.work("a", 1)
    run.signal("go", "first")
    assert [step.state_name for step in run.open()] == ["w"]
    run.signal("go", "second")
    assert run.run.output == {"one": {"result": "second"}, "two": {"result": "first"}}


def test_a_signal_that_does_not_come_in_time():
    run = DrivenRun(workflow(waiting(timeoutSeconds=10) | {"timeoutSeconds": 20, "onError": "b"}, agent("b")))
    run.let_pass(10)
    assert (run.row("w")["status"], run.context["error"]["type"]) == ("TIMED_OUT", "timeout")


def test_a_person_outranks_a_signal_in_the_status_and_work_outranks_both():
    run = DrivenRun(
        workflow(parallel("p", one=[waiting()], two=[approval()], three=[agent("b")], four=[pausing(seconds=9)]))
    )
    assert run.status == "RUNNING"
    run.work("b", 1)
    assert run.status == "WAITING_APPROVAL"
    run.approve("a")
    assert run.status == "WAITING_SIGNAL"
    run.signal("go")
    assert run.status == "RUNNING"
    run.let_pass(9)
    assert run.status == "COMPLETED"


@pytest.mark.parametrize(
    ("payload", "after"),
    [
        ({"seconds": 2.5}, 2.5),
        ({"seconds": "{{ n }}"}, 3),
        ({"seconds": 0}, 0),
        ({"until": "2023-11-14T22:13:30Z"}, 10),
        ({"until": "2023-11-15T00:13:30.5+02:00"}, 10.5),
        ({"until": "2001-01-01T00:00:00Z"}, 0),
    ],
)
def test_a_timer_waits_for_its_moment(payload, after):
    run = DrivenRun(workflow(pausing(**payload)), {"n": 3})
    assert run.step("t").wake_at == START_OF_TIME + after * 1000
    assert run.status == "RUNNING"
    run.let_pass(after)
    assert run.status == "COMPLETED"
    assert run.run.output["firedAt"].startswith("2023-11-14T22:13:")


@pytest.mark.parametrize(
    "payload",
    [{"seconds": "{{ minus }}"}, {"seconds": "{{ huge }}"}, {"until": "{{ text }}"}, {"until": "{{ local }}"}],
)
def test_a_timer_that_makes_no_sense_fails_the_step(payload):
    given = {"minus": -1, "huge": 1e300, "text": "soon", "local": "2023-11-14T22:13:30"}
    run = DrivenRun(workflow(pausing(**payload)), given)
    assert (run.status, run.error.type) == ("FAILED", "validation")
    assert "until" not in payload or "write" in run.error.message


def test_a_timer_that_fires_early_late_or_twice_changes_nothing():
    run = DrivenRun(workflow(pausing(seconds=5)))
    step = run.step("t")
    wake = WakeStep(step_id=step.step_id, attempt=1)
    assert run.tell(wake).events == []
    assert run.tell(WakeStep(step_id=step.step_id, attempt=2)).events == []
    run.let_pass(5)
    assert run.tell(wake).events == []


def test_the_deadline_of_the_run_ends_it():
    states = parallel("p", one=[agent("a")], two=[approval() | {"name": "ask"}], three=[pausing(seconds=99)])
    run = DrivenRun(workflow(states, timeoutSeconds=20), deadline_at=START_OF_TIME + 20_000)
    token = run.claimed(run.step("a"))
    run.now += 19_999
    assert run.tell(ReachDeadline()).events == []
    run.let_pass(0.001)
    assert (run.status, run.error.type, run.row("a")["status"]) == ("TIMED_OUT", "timeout", "CANCELLED")
    assert "20 s" in run.error.message
    assert [stop.token for stop in run.decisions[-1].stops] == [token]
    assert next(iter(run.history.approvals.values()))["status"] == "CANCELLED"


def test_waits_inside_items_inside_branches():
    inner = [waiting(signal="s{{ index }}", way_on="t"), pausing(seconds="{{ item }}") | {"resultPath": "slept"}]
    loop = foreach("f", "list", *inner, maxConcurrency=2)
    run = DrivenRun(workflow(parallel("p", one=[loop], two=[agent("b")])), {"list": [1, 2, 3]})
    run.signal("s2", "two")
    run.signal("s1", "one")
    run.work("b", 0)
    run.let_pass(2)
    assert [step.scope.key for step in run.open()] == [0, 2]
    run.signal("s0", "zero")
    run.let_pass(9)
    assert [item["result"] for item in run.run.output["one"]["result"]] == ["zero", "one", "two"]


def test_a_switch_on_a_signal():
    states = [
        waiting(way_on="s"),
        switch({"if": 'result == "again"', "next": "w"}, dataPath="steps.w", defaultNext="t"),
        pausing(seconds=1),
    ]
    run = DrivenRun(workflow(*states))
    for _ in range(3):
        run.signal("go", "again")
        assert run.status == "WAITING_SIGNAL"
    run.signal("go", "enough")
    assert run.status == "RUNNING"
