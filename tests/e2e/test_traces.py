"""One run is one trace, joined to its caller's, though the scheduler was killed in its middle."""

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.workflows import agent, ask, inject, parallel, store
from tests.support.driver import ok
from tests.support.otlp import Collector, Span
from tests.support.system import System

CALLER_TRACE, CALLER_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLER = {"traceparent": f"00-{CALLER_TRACE}-{CALLER_SPAN}-01"}

Place = tuple[str, str, int]
"""Kind of span, state, attempt."""
RUN: Place = ("WorkflowRun", "", 1)
BOTH: Place = ("StateTransition", "both", 1)
ATTEMPTS = {("first", 1), ("work", 1), ("last", 1), ("last", 2)}
# Every span of the run, and the one above it.
TREE: dict[Place, Place] = {
    **{("StateTransition", state, 1): RUN for state in ("begin", "first", "both", "last")},
    **{("StateTransition", state, 1): BOTH for state in ("ask", "work")},
    **{("StepExecute", state, attempt): ("StateTransition", state, 1) for state, attempt in {*ATTEMPTS, ("ask", 1)}},
    **{("AgentExecute", state, attempt): ("StepExecute", state, attempt) for state, attempt in ATTEMPTS},
}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as listening:
        yield listening


def prepare(system: System) -> None:
    system.write_scripted("ok", {"answer": {"ok": True}})
    system.write_scripted("flaky", {"error": {"message": "not yet"}, "times": 1}, {"answer": "at last"})
    system.wait_agent("ok")
    system.wait_agent("flaky")
    store(
        system,
        "traced",
        inject("begin", {"a": 1}, next="first"),
        agent("first", "ok", next="both"),
        parallel("both", {"asks": [ask("ask")], "works": [agent("work", "ok")]}, next="last"),
        agent("last", "flaky", retry={"maxAttempts": 2}),
    )


def test_a_run_with_an_approval_and_a_killed_scheduler_is_one_tree(
    make_system: Callable[..., System], collector: Collector
) -> None:
    system = make_system(STATION_OTLP_ENDPOINT=collector.endpoint)
    prepare(system)
    run_id = system.start_run("traced", headers=CALLER)
    asked = system.wait_approval(run_id)
    system.wait_status(run_id, "WAITING_APPROVAL")
    # The spans of what has ended are still on their way to the collector, and those of the rest begin before the kill.
    system.restart("scheduler")
    ok(system.approve(run_id, asked["id"]))
    system.finish(run_id)

    states = {step["stepId"]: step["stateName"] for step in system.steps(run_id)}

    def place(span: Span) -> Place:
        known = span.attributes
        state = known.get("state_name") or states.get(known.get("step_id", ""), "")
        return span.name, state, known.get("attempt", 1)

    spans = collector.wait(lambda found: {RUN, *TREE} <= {place(span) for span in found})
    by_id = {span.span_id: span for span in spans}
    assert all(by_id[span.span_id] == span for span in spans), "what was sent twice was the same"
    assert sorted(place(span) for span in by_id.values()) == sorted([RUN, *TREE]), "each once"
    root = next(span for span in by_id.values() if place(span) == RUN)
    below = [span for span in by_id.values() if span is not root]
    assert {place(span): place(by_id[span.parent_id]) for span in below} == TREE
    assert root.parent_id == CALLER_SPAN
    assert {span.trace_id for span in spans} == {CALLER_TRACE}
    assert all(root.start <= span.start <= span.end <= root.end for span in below)
    assert {place(span)[1:] for span in below if span.failed} == {("last", 1)}
    assert {span.service for span in spans} == {"station-scheduler", "station-agent-runner"}
