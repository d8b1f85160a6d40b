"""The event stream of a run: a snapshot, every event once and in order, taken up again without gap or repeat."""

from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from tests.e2e.agents import Pipe
from tests.e2e.workflows import agent, foreach, inject, store
from tests.support.driver import ok
from tests.support.event_stream import Frame
from tests.support.system import System


def hold(system: System, pipe: Pipe) -> str:
    """A run in the middle of its work: some events behind it, some to come."""
    working = agent("hold", "gate", variables={"pipe": str(pipe)}, next="after")
    store(system, "streamed", inject("before", {"n": 1}, next="hold"), working, agent("after", "ok"))
    run_id = system.start_run("streamed")
    system.wait_event(run_id, "step_started", lambda event: event["actor"].startswith("runner:"))
    return run_id


def numbers(frames: list[Frame]) -> list[int]:
    return [frame.data["seq"] for frame in frames if frame.event != "snapshot"]


def test_it_begins_with_a_snapshot_and_closes_after_the_last_event(system: System, tmp_path: Path) -> None:
    pipe = Pipe(tmp_path)
    run_id = hold(system, pipe)
    frames: list[Frame] = []
    for frame in system.stream(run_id):
        frames.append(frame)
        if frame.event == "snapshot":
            pipe.send({"done": True})
    snapshot = frames[0]
    assert snapshot.event == "snapshot"
    assert snapshot.data["id"] == run_id
    assert snapshot.data["status"] == "RUNNING"
    assert snapshot.id == str(snapshot.data["lastSeq"])
    every = system.events(run_id)
    assert [frame.data for frame in frames[1:]] == every[snapshot.data["lastSeq"] :]
    assert [(frame.id, frame.event) for frame in frames[1:]] == [
        (str(event["seq"]), event["type"]) for event in every[snapshot.data["lastSeq"] :]
    ]
    assert frames[-1].event == "run_completed"


def test_it_is_taken_up_again_without_gap_or_repeat(system: System, tmp_path: Path) -> None:
    """Cut after every single event, before and after the run's end."""
    pipe = Pipe(tmp_path)
    run_id = hold(system, pipe)
    head = list(islice(system.stream(run_id, last_event_id=0), 4))
    assert [frame.event == "snapshot" for frame in head] == [True, False, False, False]
    assert head[0].id is None, "the id that the client has must stand"
    seen = numbers(head)
    second = system.stream(run_id, last_event_id=seen[-1])
    next(second)
    pipe.send({"done": True})
    seen += numbers(list(second))
    every = [event["seq"] for event in system.events(run_id)]
    assert seen == every == list(range(1, len(every) + 1))
    for last in every:
        assert numbers(list(system.stream(run_id, last_event_id=last))) == every[last:]


def test_a_run_that_has_ended_is_told_whole(system: System) -> None:
    store(system, "told", inject("only", {"n": 1}))
    run_id = system.start_run("told")
    system.finish(run_id)
    (snapshot,) = system.stream(run_id)
    assert snapshot.data["status"] == "COMPLETED"
    told = list(system.stream(run_id, last_event_id=0))
    assert [frame.data for frame in told[1:]] == system.events(run_id)


def test_two_listeners_see_the_same(system: System, tmp_path: Path) -> None:
    pipe = Pipe(tmp_path)
    run_id = hold(system, pipe)
    one, other = (system.stream(run_id, last_event_id=0) for _ in range(2))
    next(one)
    next(other)
    pipe.send({"done": True})
    assert list(one) == list(other)


def test_the_stream_says_what_it_is(system: System) -> None:
    store(system, "told", inject("only", {"n": 1}))
    run_id = system.start_run("told")
    with system.api.stream("GET", f"/workflow-runs/{run_id}/stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
    bad = system.api.get(f"/workflow-runs/{run_id}/stream", headers={"last-event-id": "x"})
    assert bad.status_code == 400
    assert ok(system.api.get(f"/workflow-runs/{run_id}"))["status"] == "COMPLETED"


def test_many_listeners_while_many_runs_are_busy(system: System) -> None:
    store(system, "busy", foreach("each", "items", [agent("work", "ok")], maxConcurrency=20))
    runs = [system.start_run("busy", {"items": list(range(100))}) for _ in range(4)]
    with ThreadPoolExecutor(12) as pool:
        heard = list(pool.map(lambda n: list(system.stream(runs[n % 4], last_event_id=0)), range(12)))
    for index, frames in enumerate(heard):
        assert [frame.data for frame in frames[1:]] == system.events(runs[index % 4])
