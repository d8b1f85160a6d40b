"""What a run waits for comes true though the scheduler is dead at the moment when it comes due."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from station.runtime.clock import from_rfc3339, now_ms
from tests.e2e.workflows import agent, ask, store, wait_timer
from tests.support.driver import ok
from tests.support.patient import patient
from tests.support.system import System

MakeSystem = Callable[..., System]


def pass_moment(moment: int) -> None:
    """Return when that moment, in milliseconds since 1970, is over."""
    time.sleep(max(0, moment - now_ms()) / 1000 + 0.05)


def test_what_comes_due_while_the_scheduler_is_dead_happens_when_it_is_back(make_system: MakeSystem) -> None:
    system = make_system()
    system.write_scripted("flaky", {"error": {"message": "not yet"}, "times": 1}, {"answer": "at last"})
    system.wait_agent("flaky")
    store(system, "timer", wait_timer("nap", 1))
    store(system, "backoff", agent("try", "flaky", retry={"maxAttempts": 2, "backoffSeconds": 1}))
    store(system, "deadline", ask("late", timeoutSeconds=1))
    store(system, "whole-run", ask("ask"), timeoutSeconds=1)
    store(system, "patient", ask("ask"))
    runs = {name: system.start_run(name) for name in ("backoff", "timer", "deadline", "whole-run", "patient")}
    retried = system.wait_event(runs["backoff"], "step_retry_scheduled")
    system.wait_event(runs["timer"], "state_entered")
    asked = {name: system.wait_approval(runs[name]) for name in ("deadline", "whole-run", "patient")}
    deadlines = [asked["deadline"]["deadlineAt"], system.run(runs["whole-run"])["deadlineAt"]]
    due = [retried["data"]["wakeAt"], *map(from_rfc3339, deadlines)]

    system.kill("scheduler")
    pass_moment(max(due))
    system.start("scheduler")

    system.finish(runs["timer"])
    assert system.finish(runs["backoff"])["output"] == "at last"
    assert [step["attempt"] for step in system.steps(runs["backoff"])] == [1, 2]
    failed = system.finish(runs["deadline"], "FAILED")
    assert failed["error"]["type"] == "timeout"
    assert system.step(runs["deadline"], "late")["status"] == "TIMED_OUT"
    system.finish(runs["whole-run"], "TIMED_OUT")
    assert system.run(runs["patient"])["status"] == "WAITING_APPROVAL"
    ok(system.approve(runs["patient"], asked["patient"]["id"]))
    system.finish(runs["patient"])


def test_a_decision_made_while_the_scheduler_is_dead_is_taken_when_it_is_back(make_system: MakeSystem) -> None:
    system = make_system()
    store(system, "asks", ask("ask"))
    run_id = system.start_run("asks")
    asked = system.wait_approval(run_id)
    system.kill("scheduler")
    client = patient(system.url)
    with client.api, ThreadPoolExecutor() as alice:
        decided = alice.submit(client.approve, run_id, asked["id"])
        system.start("scheduler")
        assert ok(decided.result())["status"] == "APPROVED"
    assert system.finish(run_id)["output"]["decidedBy"] == "user:alice"
    assert len(system.events(run_id, "approval_approved")) == 1
