"""The judges of chaos must find what is wrong: each is shown a record with one fault in it, and one without."""

from itertools import islice
from typing import Any

import pytest

from tests.chaos_rig import laws, promises, repeats
from tests.chaos_rig.effects import Effect
from tests.chaos_rig.faults import KINDS, VICTIMS, Fault, schedule
from tests.chaos_rig.killer import Done
from tests.chaos_rig.ledger import Begun, Decided, Ledger, Signalled, Steered
from tests.chaos_rig.record import Event, Letter, Record, StoredApproval, StoredRun, StoredSignal
from tests.chaos_rig.recovery import recoveries
from tests.chaos_rig.stories import Story
from tests.chaos_rig.stuck import stuck
from tests.chaos_rig.watching import Seen

RUN, STEP = "run_1", "step_1"
KEY = f"{RUN}:{STEP}:1"


def history(*facts: tuple[str, str, dict[str, Any]]) -> list[Event]:
    """Events of one step: type, actor, data; a second apart."""
    return [
        Event(RUN, seq, kind, seq * 1000, STEP, actor, data, f"h{seq}")
        for seq, (kind, actor, data) in enumerate(facts, 1)
    ]


def started(runner: str) -> tuple[str, str, dict[str, Any]]:
    return "step_started", f"runner:{runner}", {"runner": runner}


def succeeded(runner: str) -> tuple[str, str, dict[str, Any]]:
    return "step_succeeded", f"runner:{runner}", {}


def again(reason: str) -> tuple[str, str, dict[str, Any]]:
    return "step_redispatched", "system:scheduler", {"reason": reason}


def record(*facts: tuple[str, str, dict[str, Any]], status: str = "COMPLETED", **more: Any) -> Record:
    run = StoredRun(RUN, "chain", status, "key", {})
    empty: dict[str, Any] = {"approvals": [], "signals": [], "letters": [], "outbox": 0}
    return Record(runs={RUN: run}, histories={RUN: history(*facts)}, **{**empty, **more})


GOOD = (started("a#1"), again("runner a has started anew"), started("b#1"), succeeded("b#1"))


def test_a_good_record_breaks_no_law() -> None:
    assert list(laws.check(record(*GOOD))) == []
    assert laws.successes_twice(record(*GOOD)) == 0


@pytest.mark.parametrize(
    "facts",
    [
        (started("a#1"), started("b#1"), succeeded("b#1")),
        (started("a#1"), again("gone"), started("b#1"), succeeded("a#1")),
        (started("a#1"), again("gone"), succeeded("a#1")),
    ],
)
def test_two_that_hold_one_attempt_are_found(facts: Any) -> None:
    assert [violation.check for violation in laws.check(record(*facts))] == ["fencing"]


def test_a_second_success_is_counted() -> None:
    assert laws.successes_twice(record(*GOOD, succeeded("b#1"))) == 1


@pytest.mark.parametrize(
    ("decisions", "status"),
    [
        ([("user:alice", 1), ("user:alice", 2)], "APPROVED"),
        ([("user:alice", 1)], "APPROVED"),
        ([("user:alice", 1), ("user:mallory", 2)], "APPROVED"),
        ([("user:alice", 1), ("user:bob", 99)], "APPROVED"),
    ],
    ids=["twice", "too few", "not asked", "late"],
)
def test_a_decision_that_must_not_be_is_found(decisions: list[tuple[str, int]], status: str) -> None:
    said = [{"by": by, "decision": "approve", "at": at} for by, at in decisions]
    asked = StoredApproval("appr_1", RUN, status, ["user:alice", "user:bob"], 2, said, 10)
    assert {violation.check for violation in laws.check(record(*GOOD, approvals=[asked]))} == {"decisions"}


def test_an_approval_that_is_decided_twice_is_found() -> None:
    decided = ("approval_approved", "user:alice", {"approvalId": "appr_1"})
    assert [violation.check for violation in laws.check(record(decided, decided))] == ["one_decision"]


def test_every_acknowledged_write_that_is_gone_is_found() -> None:
    ledger = Ledger(
        runs=[Begun("key", Story(name="chain"), "http", "run_2")],
        signals=[Signalled(RUN, "s1", 1), Signalled(RUN, "s2", 1)],
        decisions=[Decided(RUN, "appr_1", "alice", "approve")],
        controls=[Steered(RUN, "cancel")],
    )
    found = record(*GOOD, signals=[StoredSignal(RUN, "s1", 2, None)])
    assert len(list(promises.lost(ledger, found))) == 5


def test_what_is_there_is_not_called_lost() -> None:
    approval = StoredApproval(
        "appr_1", RUN, "APPROVED", [], 1, [{"by": "user:alice", "decision": "approve", "at": 1}], None
    )
    ledger = Ledger(
        runs=[Begun("key", Story(name="chain"), "http", RUN)],
        signals=[Signalled(RUN, "s1", 1)],
        decisions=[Decided(RUN, "appr_1", "alice", "approve")],
        controls=[Steered(RUN, "cancel")],
    )
    cancelled = ("run_cancelled", "user:chaos", {})
    found = record(*GOOD, cancelled, approvals=[approval], signals=[StoredSignal(RUN, "s1", 1, STEP)])
    assert list(promises.lost(ledger, found)) == []


def test_a_run_that_ends_otherwise_than_its_story_is_found() -> None:
    for story in (Story(name="chain", status="FAILED"), Story(name="chain", holds=lambda _: False)):
        ledger = Ledger(runs=[Begun("key", story, "http", RUN)])
        assert [violation.check for violation in promises.kept(ledger, record(*GOOD))] == ["end"]


def test_two_runs_of_one_key_are_found() -> None:
    found = record(*GOOD)
    found.runs["run_2"] = StoredRun("run_2", "chain", "COMPLETED", "key", {})
    assert [violation.check for violation in promises.kept(Ledger(), found)] == ["one_run_per_key"]


@pytest.mark.parametrize(
    ("hashes", "problems", "ended", "broken"),
    [
        ({1: "h1", 2: "h2", 3: "h3", 4: "h4"}, [], True, 0),
        ({1: "h1", 2: "h2", 4: "h4"}, [], True, 1),
        ({1: "h1", 2: "other", 3: "h3", 4: "h4"}, [], True, 1),
        ({1: "h1", 2: "h2", 3: "h3", 4: "h4"}, ["after 2 came 2"], True, 1),
        ({1: "h1"}, [], False, 1),
    ],
    ids=["all of it", "a hole", "another event", "twice", "no end"],
)
def test_a_stream_is_judged(hashes: dict[int, str], problems: list[str], ended: bool, broken: int) -> None:  # noqa: FBT001
    seen = Seen(RUN, 0, hashes, last=4, problems=problems, ended=ended)
    assert len(list(promises.streams([seen], record(*GOOD)))) == broken


def test_what_was_set_aside_and_what_was_answered_wrongly_is_found() -> None:
    found = record(*GOOD, letters=[Letter("wf.task.run.x", "why", 1)])
    assert len(list(promises.set_aside(Ledger(wrong=["500"]), found))) == 2


def test_an_effect_that_happened_again_has_a_reason() -> None:
    effects = {KEY: [Effect(KEY, 1500, 1), Effect(KEY, 3500, 2)]}
    judged = repeats.judge(effects, record(*GOOD))
    assert (judged.executions, judged.attempts, judged.repeated) == (2, 1, 1)
    assert judged.reasons == {"the runner died": 1}
    assert judged.violations == []


def test_an_effect_that_nobody_claimed_is_found() -> None:
    effects = {KEY: [Effect(KEY, at, at) for at in (1500, 1600, 3500)]}
    assert [violation.check for violation in repeats.judge(effects, record(*GOOD)).violations] == ["effect_unclaimed"]


def test_a_success_without_an_effect_is_found() -> None:
    assert [found.check for found in repeats.judge({}, record(*GOOD)).violations] == ["success_without_effect"]


def test_a_run_that_has_not_ended_is_shown_with_its_events() -> None:
    (found,) = stuck(record(*GOOD[:1], status="RUNNING"))
    assert "step_started" in found.detail
    assert stuck(record(*GOOD)) == []


def test_the_same_seed_gives_the_same_faults() -> None:
    first, second = (list(islice(schedule(7, 3.0), 500)) for _ in range(2))
    assert first == second
    assert first != list(islice(schedule(8, 3.0), 500))
    assert {fault.kind for fault in first} == set(KINDS)
    assert set(VICTIMS) <= {fault.victim for fault in first}


def test_a_recovery_is_the_time_to_the_next_sign_of_the_victim() -> None:
    done = [Done(Fault(1, "kill", "gateway", 0, 0), 100, 150), Done(Fault(2, "kill", "scheduler", 0, 0), 100, 0)]
    found = recoveries(done, {"gateway": [90, 190, 500], "scheduler": [200]})
    assert {victim: (one.count, one.max) for victim, one in found.items()} == {"every": (1, 40), "gateway": (1, 40)}
