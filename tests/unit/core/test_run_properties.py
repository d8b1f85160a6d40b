"""Any definition and any messages: after each message the run is the fold of its events, row by row, and every law
of ``tests.support.run_invariants`` holds (``DrivenRun.tell`` looks at them each time).
"""

from __future__ import annotations

from random import Random

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from station.core.definition import to_canonical
from station.core.evolve import fold
from station.core.lifecycle import RUN_TRANSITIONS, STEP_TRANSITIONS
from station.core.program import Limits
from tests.support.driven_run import START_OF_TIME, DrivenRun, asked, decide_whole
from tests.support.random_definitions import GIVEN, random_definition
from tests.support.random_messages import RandomMessages
from tests.support.reference_model import check_against_model

LIMITS = Limits(max_states=60, max_output_bytes=200)
EFFORT = settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
        HealthCheck.large_base_example,
        HealthCheck.too_slow,
    ],
)
chance = st.randoms(use_true_random=False) | st.integers(0, 2**64).map(Random)


class Twice(DrivenRun):
    """Decides each message a second time, on the fold of the stored events: the answer must be the same."""

    def tell(self, message):
        assert self.history is not None
        folded = fold(self.history.events())
        again = decide_whole(self.program, folded, message, self.now, self.limits)
        decision = super().tell(message)
        assert msgspec.structs.asdict(decision) == msgspec.structs.asdict(again)
        return decision


def drawn(random: Random, kind: type[DrivenRun] = DrivenRun) -> tuple[DrivenRun, RandomMessages]:
    run = kind(random_definition(random), GIVEN, limits=LIMITS, deadline_at=START_OF_TIME + 500_000)
    return run, RandomMessages(run, random)


@EFFORT
@given(chance, st.integers(1, 40))
def test_whatever_happens_every_law_holds_after_every_message(random, count):
    _, happenings = drawn(random)
    happenings.tell_many(count)


@EFFORT
@given(chance, st.integers(1, 30))
def test_a_decision_depends_on_nothing_but_the_events_the_message_and_the_clock(random, count):
    _, happenings = drawn(random, Twice)
    happenings.tell_many(count)


@EFFORT
@given(chance, st.integers(1, 40))
def test_statuses_go_only_where_the_tables_allow(random, count):
    run, happenings = drawn(random)
    run_status, steps = run.run.status, _statuses(run)
    for _ in range(count):
        happenings.tell()
        assert run.run.status in RUN_TRANSITIONS[run_status] | {run_status}
        now = _statuses(run)
        for key, status in steps.items():
            assert now[key] == status or now[key] in STEP_TRANSITIONS[status], (status, now[key])
        run_status, steps = run.run.status, now


@EFFORT
@given(chance)
def test_a_run_that_ended_is_what_the_reference_model_makes_of_its_answers(random):
    run, happenings = drawn(random)
    happenings.tell_many(60)
    if run.run.ended is not None and run.history is not None:
        check_against_model(to_canonical(run.program.definition), run.run, run.history.events())


def _statuses(run: DrivenRun):
    assert run.history is not None
    return {key: row["status"] for key, row in run.history.steps.items()}


@EFFORT
@given(chance, st.integers(0, 10))
def test_a_run_that_is_left_to_those_who_serve_it_ends(random, count):
    """Nobody pauses or cancels any more: agents work, people say yes, signals come, time passes."""
    run, happenings = drawn(random)
    happenings.tell_many(count)
    if run.run.paused:
        run.resume()
    for _ in range(500):
        if run.run.ended is not None:
            break
        for step in run.open():
            serve(run, step)
    assert run.run.ended is not None


def serve(run: DrivenRun, step) -> None:
    """Give one step what it waits for, if it still waits."""
    if run.run.open.get(step.step_id) is not step:
        return
    match step.action:
        case _ if (
            step.wake_at is not None and step.wake_at <= run.now and step.token is None and step.status != "PENDING"
        ):
            run.let_pass(0)
        case "agent.run" if step.wake_at is None or step.token is not None:
            run.report(step, run.claimed(step), {"flag": False})
        case "human.approval":
            approvers = [decision.by for decision in asked(step).decisions]
            run.approve(step.state_name, by=f"user:{len(approvers)}", pick=step)
        case "signal.wait":
            run.signal(step.signal or "", 1, f"served_{run.run.seq}")
        case _:
            run.let_pass(max(0, (step.wake_at or 0) - run.now) / 1000)
            if step.action == "agent.run" and run.run.open.get(step.step_id) is step:
                run.report(step, run.claimed(step), 1)
