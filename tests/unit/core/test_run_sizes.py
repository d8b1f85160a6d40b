"""The work of a turn is in proportion to what it changes: counted in events, touched rows and function calls."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from station.core.program import Limits
from tests.support.driven_run import DrivenRun
from tests.unit.core.definitions import agent, foreach, inject, parallel, workflow

LIMITS = Limits(max_states=1_000_000, max_context_bytes=2**40)


@contextmanager
def calls() -> Iterator[list[int]]:
    """Count calls of Python and C functions."""
    counted = [0]

    def count(_: Any, what: str, __: Any) -> None:
        if what in ("call", "c_call"):
            counted[0] += 1

    sys.setprofile(count)
    try:
        yield counted
    finally:
        sys.setprofile(None)


def loop(count: int, concurrency: int) -> DrivenRun:
    state = foreach("f", "list", agent("a", input={"agent": "x", "task": "{{ item }}"}), maxConcurrency=concurrency)
    return DrivenRun(workflow(state), {"list": list(range(count))}, limits=LIMITS, checked=False)


def finish(run: DrivenRun) -> int:
    """Have every item done; give the most attempts that one turn has touched."""
    most = 0
    run.run.take_changes()
    while run.run.ended is None:
        step = next(reversed(run.run.open.values()))
        token = run.claim(step).token
        run.run.take_changes()
        run.report(step, token, step.input["task"])
        most = max(most, len(run.run.take_changes().steps))
    return most


def test_ten_thousand_items_cost_four_events_each():
    run = loop(10_000, 100)
    most = finish(run)
    assert run.status == "COMPLETED"
    assert run.run.output == [{"result": index} for index in range(10_000)]
    assert len(run.events) == 4 * 10_000 + 5
    assert most <= 2
    assert sum(len(decision.tasks) for decision in run.decisions) == 10_000


def test_twice_the_items_are_twice_the_work():
    counts: list[int] = []
    for size in (500, 1000):
        with calls() as counted:
            finish(loop(size, 20))
        counts.append(counted[0])
    assert counts[1] < 2.1 * counts[0]


def test_the_cost_of_an_item_does_not_grow_with_how_many_are_open():
    counts: list[int] = []
    for concurrency in (10, 500):
        with calls() as counted:
            finish(loop(500, concurrency))
        counts.append(counted[0])
    assert counts[1] < 1.1 * counts[0]


def test_a_step_after_a_large_context_costs_what_it_costs_after_a_small_one():
    counts: list[int] = []
    for size in (10, 10, 100_000):  # once to fill the caches
        big = {"big": {str(index): index for index in range(size)}}
        run = DrivenRun(workflow(agent("a", next="b"), agent("b")), big, limits=LIMITS, checked=False)
        run.work("a", 1)
        with calls() as counted:
            run.work("b", 1)
        counts.append(counted[0])
    assert counts[2] == counts[1]


def test_items_in_branches_of_items_stay_linear():
    counts: list[int] = []
    for size in (50, 100):
        inner = parallel("p", one=[inject("i", {"n": 1})], two=[inject("j", {"n": 2})])
        state = foreach("f", "list", foreach("g", "list2", inner), maxConcurrency=4)
        given = {"list": list(range(size)), "list2": [1, 2]}
        with calls() as counted:
            run = DrivenRun(workflow(state), given, limits=LIMITS, checked=False)
        assert run.status == "COMPLETED"
        counts.append(counted[0])
    assert counts[1] < 2.1 * counts[0]
