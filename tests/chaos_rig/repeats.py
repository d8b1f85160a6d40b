"""Outside effects that happened more than once: counted, and each with the reason that the record gives for it."""

from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from tests.chaos_rig.effects import Effect
from tests.chaos_rig.laws import Violation
from tests.chaos_rig.record import Event, Record

REASONS = {
    "has started anew": "the runner died",
    "ran out": "the lease was lost",
    "gave it back": "the runner was told to stop",
    "was told to stop": "the runner was told to stop",
}
UNEXPLAINED = "no reason on record"


class Repeats(Struct, frozen=True):
    """Effects of attempts, and those beyond the first of each."""

    executions: int
    attempts: int
    repeated: int
    reasons: dict[str, int]
    violations: list[Violation]


def judge(effects: Mapping[str, list[Effect]], record: Record) -> Repeats:
    """Compare the effect log with the record."""
    reasons: Counter[str] = Counter()
    violations: list[Violation] = []
    histories = _by_attempt(record)
    for key, found in effects.items():
        history = histories.get(key, [])
        starts = sum(1 for event in history if event.type == "step_started")
        if len(found) > starts:
            violations.append(Violation("effect_unclaimed", key, f"{len(found)} executions, {starts} claims on record"))
        reasons.update(_reason(history, effect) for effect in found[1:])
    violations += _without_effect(effects, histories)
    return Repeats(
        executions=sum(map(len, effects.values())),
        attempts=len(effects),
        repeated=sum(len(found) - 1 for found in effects.values()),
        reasons=dict(reasons),
        violations=violations,
    )


def _by_attempt(record: Record) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for history in record.histories.values():
        for event in history:
            if event.type in {"step_started", "step_redispatched", "step_succeeded"} and event.step_id:
                found.setdefault(f"{event.run_id}:{event.step_id}:{event.data.get('attempt', 1)}", []).append(event)
    return found


def _reason(history: list[Event], effect: Effect) -> str:
    """The newest reason for which the attempt had been handed out again by then."""
    given = [event.data["reason"] for event in history if event.type == "step_redispatched" and event.at <= effect.at]
    if not given:
        return UNEXPLAINED
    return next((words for mark, words in REASONS.items() if mark in given[-1]), given[-1])


def _without_effect(effects: Mapping[str, list[Effect]], histories: Mapping[str, list[Event]]) -> list[Violation]:
    """An agent's success that nobody has worked for."""
    return [
        Violation("success_without_effect", key, "the agent never ran")
        for key, history in histories.items()
        if key not in effects
        and any(event.type == "step_succeeded" and event.actor.startswith("runner:") for event in history)
    ]
