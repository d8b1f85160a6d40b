"""How long it took from a new start (or SIGCONT) until there was progress that needs the one that was away."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from tests.chaos_rig.faults import ALL
from tests.chaos_rig.killer import Done
from tests.chaos_rig.record import Event, Record
from tests.support.system import BROKER

Signs = Mapping[str, Sequence[int]]
"""By victim: when there was progress that needs it, ascending, milliseconds since 1970."""


class Spread(Struct, frozen=True):
    """Milliseconds."""

    count: int
    p50: int
    p99: int
    max: int


def spread(values: Iterable[int]) -> Spread:
    """The spread of some measurements; zeros when there are none."""
    ordered = sorted(values)
    if not ordered:
        return Spread(0, 0, 0, 0)
    last = len(ordered) - 1
    return Spread(len(ordered), ordered[last // 2], ordered[round(last * 0.99)], ordered[-1])


def recoveries(done: Sequence[Done], signs: Signs) -> dict[str, Spread]:
    """By victim, and ``every`` for all of them. A fault after which nothing more was to be done is left out."""
    found: dict[str, list[int]] = {}
    for one in done:
        moments = signs.get(one.fault.victim, ())
        index = bisect_left(moments, one.back_at)
        if one.back_at and index < len(moments):
            found.setdefault(one.fault.victim, []).append(moments[index] - one.back_at)
    every = [value for values in found.values() for value in values]
    return {"every": spread(every)} | {victim: spread(values) for victim, values in sorted(found.items())}


def signs_of(record: Record, answers: Mapping[str, Sequence[int]]) -> Signs:
    """What needs whom: claims need the broker, a claim by a runner that runner; answers the service that gave them."""
    events = record.events()
    claims = [event for event in events if event.type == "step_started" and event.data.get("runner")]

    def by(runner: str) -> list[int]:
        return _times(claims, lambda event: event.data["runner"].split("#")[0] == runner)

    return {
        "scheduler": _times(events),
        BROKER: _times(claims),
        ALL: _times(claims),
        "agent-runner": by("agent-runner"),
        "agent-runner-2": by("agent-runner-2"),
    } | {service: sorted(moments) for service, moments in answers.items()}


def _times(events: Iterable[Event], wanted: Callable[[Event], bool] = lambda _: True) -> list[int]:
    return [event.at for event in events if wanted(event)]
