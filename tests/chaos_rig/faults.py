"""What the killer does next, from a seed alone: the same seed gives the same faults in the same order.

The rule: nothing here looks at the system, so that a schedule can be repeated, as exactly as the machine lets it be.
"""

import random
from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct

from tests.support.system import BROKER

Kind = Literal["kill", "freeze", "stop", "wipe", "kill_all", "kill_and_wipe_all"]

KINDS: Mapping[Kind, float] = {
    "kill": 78,  # SIGKILL, and a new start
    "freeze": 7,  # SIGSTOP for seconds, then SIGCONT: a process that wakes up in another world
    "stop": 4,  # SIGTERM: an orderly restart
    "wipe": 8,  # SIGKILL to the broker, and everything that JetStream stored is deleted
    "kill_all": 2,  # SIGKILL to everything at once
    "kill_and_wipe_all": 1,
}
VICTIMS: Mapping[str, float] = {
    BROKER: 30,
    "scheduler": 18,
    "agent-runner": 16,
    "agent-runner-2": 12,
    "approval-service": 12,
    "gateway": 12,
}
FREEZING: Mapping[str, float] = VICTIMS | {"agent-runner": 40, "agent-runner-2": 40}
"""A runner that wakes up is the one that could do harm: it believes that it still holds what others have finished."""
ALL = "all"
SINGLE_SECONDS = 3.0
"""Between faults that come one at a time: about what it takes to be over one."""
NOT_TRIED = (
    "power loss",
    "disk corruption and a full disk",
    "clock jumps",
    "partitions and slow links between processes",
    "out of memory",
    "two schedulers on two hosts over one shared file",
)


class Fault(Struct, frozen=True):
    """One fault; ``after`` seconds after the one before."""

    number: int
    kind: Kind
    victim: str
    after: float
    seconds: float
    """How long the victim stays away before it is started again, or is let go on."""


def schedule(seed: int, a_second: float, single: int = 0) -> Iterator[Fault]:
    """Faults without end, on average ``a_second`` of them each second; the first ``single`` come one at a time."""
    rng = random.Random(seed)
    number = 0
    while True:
        number += 1
        kind = rng.choices(tuple(KINDS), tuple(KINDS.values()))[0]
        victims = FREEZING if kind == "freeze" else VICTIMS
        victim = rng.choices(tuple(victims), tuple(victims.values()))[0]
        after = SINGLE_SECONDS if number <= single else rng.uniform(0.3, 1.7) / a_second
        frozen, away = rng.uniform(2, 5), rng.uniform(0, 1.5) if rng.random() < 0.2 else 0.0
        if kind in {"kill_all", "kill_and_wipe_all"}:
            victim = ALL
        elif kind == "wipe":
            victim = BROKER
        yield Fault(number, kind, victim, after, frozen if kind == "freeze" else away)
