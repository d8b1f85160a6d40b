"""Signals, timers, deadlines, pause and resume: what happens while a run waits."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.e2e.agents import Pipe
from tests.e2e.workflows import agent, ask, inject, operation, parallel, store, wait_signal, wait_timer
from tests.support.driver import ok
from tests.support.system import System


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_signal_that_is_waited_for(system: System) -> None:
    store(system, "listener", wait_signal("listen", "go"))
    run_id = system.start_run("listener")
    waiting = system.wait_status(run_id, "WAITING_SIGNAL")
    assert "go" in waiting["waitingFor"]
    assert system.step(run_id, "listen")["status"] == "RUNNING"
    assert system.signal(run_id, "other", 1).status_code == 202
    accepted = system.signal(run_id, "go", {"n": 1}, id="sig-1")
    assert accepted.status_code == 202
    assert accepted.json()["id"] == "sig-1"
    run = system.finish(run_id)
    assert run["output"] == {"n": 1}
    kinds = [event["type"] for event in system.events(run_id) if event["type"].startswith("signal")]
    assert kinds == ["signal_received", "signal_received", "signal_consumed"]


def test_early_signals_are_kept_and_taken_in_order(system: System, tmp_path: Path) -> None:
    pipe = Pipe(tmp_path)
    first = agent("hold", "gate", variables={"pipe": str(pipe)}, next="one")
    store(system, "early", first, wait_signal("one", "go", next="two"), wait_signal("two", "go"))
    run_id = system.start_run("early")
    system.wait_event(run_id, "step_started")
    for payload in ("first", "second"):
        assert system.signal(run_id, "go", payload).status_code == 202
    pipe.send({"went": "on"})
    run = system.finish(run_id)
    assert run["context"]["steps"] == {"hold": {"went": "on"}, "one": "first", "two": "second"}


def test_a_signal_with_the_same_id_counts_once(system: System) -> None:
    store(system, "once", wait_signal("one", "go", next="two"), wait_signal("two", "go"))
    run_id = system.start_run("once")
    for payload in ("first", "again"):
        assert system.signal(run_id, "go", payload, id="the-same").status_code == 202
    assert system.wait_status(run_id, "WAITING_SIGNAL")["currentStates"] == ["two"]
    assert len(system.events(run_id, "signal_received")) == 1
    assert system.signal(run_id, "go", "second", id="another").status_code == 202
    assert system.finish(run_id)["context"]["steps"] == {"one": "first", "two": "second"}


def test_a_late_signal_is_refused(system: System) -> None:
    store(system, "brief", inject("only", {"done": True}))
    run = system.finish(system.start_run("brief"))
    late = system.signal(run["id"], "go")
    assert late.status_code == 409
    assert late.json()["code"] == "run_ended"
    assert late.json()["currentStatus"] == "COMPLETED"
    assert system.signal("run_nobody", "go").status_code == 404


def test_a_signal_that_never_comes(system: System) -> None:
    store(
        system,
        "patience",
        operation("listen", "signal.wait", {"signal": "go", "timeoutSeconds": 0.1}, onError="after", next="never"),
        inject("after", {"went": "on"}),
        inject("never", {}),
    )
    run = system.finish(system.start_run("patience"))
    assert system.step(run["id"], "listen")["status"] == "TIMED_OUT"
    assert run["context"]["error"] == {
        "step": "listen",
        "type": "timeout",
        "message": "no signal 'go' came before the deadline",
    }


def test_timers(system: System) -> None:
    until = (datetime.now(UTC) + timedelta(seconds=0.4)).isoformat(timespec="milliseconds")
    store(
        system,
        "timers",
        wait_timer("pause", 0.2, next="until"),
        operation("until", "timer.wait", {"until": "{{ until }}"}, next="past"),
        operation("past", "timer.wait", {"until": "2001-01-01T00:00:00Z"}),
    )
    run = system.finish(system.start_run("timers", {"until": until}))
    pause, late, past = (system.step(run["id"], state) for state in ("pause", "until", "past"))
    assert moment(pause["completedAt"]) - moment(pause["startedAt"]) >= timedelta(seconds=0.2)
    assert moment(late["completedAt"]) >= moment(until)
    assert past["status"] == "SUCCEEDED"
    assert run["status"] == "COMPLETED"


def test_a_run_that_waits_for_a_timer_is_running(system: System) -> None:
    store(system, "long-timer", wait_timer("pause", 3600))
    run_id = system.start_run("long-timer")
    system.wait_event(run_id, "step_started")
    run = system.run(run_id)
    assert run["status"] == "RUNNING"
    assert run["waitingFor"]
    ok(system.control(run_id, "cancel"))


def test_the_deadline_of_a_run(system: System) -> None:
    store(system, "deadline", wait_signal("listen", "go"), timeoutSeconds=0.2)
    run_id = system.start_run("deadline")
    run = system.finish(run_id, "TIMED_OUT")
    assert run["error"]["type"] == "timeout"
    assert system.step(run_id, "listen")["status"] == "CANCELLED"
    assert run["deadlineAt"] <= run["completedAt"]


def test_the_timeout_of_an_agent_fails_the_run(system: System) -> None:
    store(system, "agent-timeout", agent("hang", "slow", timeoutSeconds=0.1))
    run = system.finish(system.start_run("agent-timeout"), "FAILED")
    assert run["error"]["type"] == "timeout"
    assert system.step(run["id"], "hang")["status"] == "TIMED_OUT"


def test_pause_lets_a_running_step_finish_and_dispatches_nothing(system: System, tmp_path: Path) -> None:
    pipe = Pipe(tmp_path)
    hold = agent("hold", "gate", variables={"pipe": str(pipe)}, next="after")
    store(system, "paused", hold, agent("after", "ok"))
    run_id = system.start_run("paused")
    system.wait_event(run_id, "step_started")
    assert ok(system.control(run_id, "pause", reason="lunch"))["status"] == "PAUSED"
    pipe.send({"held": True})
    system.wait_event(run_id, "step_succeeded")
    run = system.run(run_id)
    assert run["status"] == "PAUSED"
    assert run["waitingFor"]
    assert [step["stateName"] for step in system.steps(run_id)] == ["hold"]
    (paused,) = system.events(run_id, "run_paused")
    assert (paused["actor"], paused["data"]["reason"]) == ("user:local", "lunch")
    assert ok(system.control(run_id, "resume"))["status"] in {"RUNNING", "COMPLETED"}
    assert system.finish(run_id)["context"]["steps"] == {"hold": {"held": True}, "after": {"ok": True}}


def test_what_comes_during_a_pause_is_kept(system: System) -> None:
    branches = {"ask": [ask("ask")], "signal": [wait_signal("listen", "go")], "timer": [wait_timer("tick", 0.2)]}
    store(system, "keeps", parallel("all", branches))
    run_id = system.start_run("keeps")
    asked = system.wait_approval(run_id)
    ok(system.control(run_id, "pause"))
    ok(system.approve(run_id, asked["id"]))
    ok(system.signal(run_id, "go", "payload"))
    assert system.run(run_id)["status"] == "PAUSED"
    ok(system.control(run_id, "resume"))
    run = system.finish(run_id)
    assert run["output"]["signal"]["result"] == "payload"
    assert run["output"]["ask"]["result"]["approved"] is True


def test_a_no_during_a_pause_ends_the_run_at_the_resume(system: System) -> None:
    store(system, "held-no", ask("ask"))
    run_id = system.start_run("held-no")
    asked = system.wait_approval(run_id)
    ok(system.control(run_id, "pause"))
    ok(system.reject(run_id, asked["id"]))
    assert system.run(run_id)["status"] == "PAUSED"
    ok(system.control(run_id, "resume"))
    system.finish(run_id, "CANCELLED")


def test_a_deadline_that_passes_during_a_pause(system: System) -> None:
    """It is kept like any timer that fires, and takes effect at the resume."""
    store(system, "pause-over-deadline", wait_signal("listen", "go"), timeoutSeconds=1)
    store(system, "passes", wait_timer("tick", 1.1))
    run_id = system.start_run("pause-over-deadline")
    ok(system.control(run_id, "pause"))
    system.finish(system.start_run("passes"))
    assert system.run(run_id)["status"] == "PAUSED"
    ok(system.control(run_id, "resume"))
    system.finish(run_id, "TIMED_OUT")


def test_cancel_ends_at_once_and_a_late_result_changes_nothing(system: System, tmp_path: Path) -> None:
    pipe = Pipe(tmp_path)
    branches = {
        "hold": [agent("hold", "gate", variables={"pipe": str(pipe)})],
        "ask": [ask("ask")],
        "listen": [wait_signal("listen", "go")],
    }
    store(system, "cancelled", parallel("all", branches, next="after"), agent("after", "ok"))
    run_id = system.start_run("cancelled")
    system.wait_event(run_id, "step_started", lambda event: event["actor"].startswith("runner:"))
    run = ok(system.control(run_id, "cancel", reason="no need"))
    assert run["status"] == "CANCELLED"
    assert {step["status"] for step in system.steps(run_id)} == {"CANCELLED"}
    (asked,) = system.approvals(run_id)
    assert asked["status"] == "CANCELLED"
    assert system.approve(run_id, asked["id"]).status_code == 409
    (cancelled,) = system.events(run_id, "run_cancelled")
    assert (cancelled["actor"], cancelled["data"]["reason"]) == ("user:local", "no need")
