"""The runs that chaos is made in: what each is told to do, what is done to it, and what must have come of it."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field

from tests.chaos_rig.definitions import ITEMS, ROUNDS

Context = Mapping[str, Any]
Deciding = tuple[str, Literal["approve", "reject"]]


class Signal(Struct, frozen=True):
    name: str
    payload: Any


class Story(Struct, frozen=True, kw_only=True):
    """One run to be. What is not given is not done."""

    name: str
    input: Mapping[str, Any] = field(default_factory=dict[str, Any])
    signals: tuple[Signal, ...] = ()
    """Sent in this order, each when the one before was acknowledged."""
    decisions: Mapping[str, tuple[Deciding, ...]] = field(default_factory=dict[str, tuple[Deciding, ...]])
    """By state: who says what. A state that asks and is not here is left to its deadline."""
    control: Literal["cancel", "pause"] | None = None
    """A pause is followed by a resume."""
    status: str = "COMPLETED"
    holds: Callable[[Context], bool] = lambda _: True
    """Whether the run's last context is as it must be, judged without the engine."""


def _at(context: Context, *path: str | int) -> Any:
    value: Any = context
    for name in path:
        try:
            value = value[name]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _answered(state: str, answer: Any) -> Callable[[Context], bool]:
    return lambda context: _at(context, "steps", state, "answer") == answer


def _never(state: str, other: Callable[[Context], bool]) -> Callable[[Context], bool]:
    return lambda context: other(context) and _at(context, "steps", state) is None


def _gate(rng: random.Random) -> Story:
    who = rng.choice(("alice", "bob"))
    if rng.random() < 0.7:
        return Story(
            name="gate", decisions={"gate": ((who, "approve"),)}, holds=_never("refuse", _answered("act", "done"))
        )
    return Story(
        name="gate", decisions={"gate": ((who, "reject"),)}, holds=_never("act", _answered("refuse", "refused"))
    )


def _quorum(rng: random.Random) -> Story:
    if rng.random() < 0.7:
        both: tuple[Deciding, ...] = (("alice", "approve"), ("bob", "approve"))
        return Story(name="quorum", decisions={"both": both}, holds=_answered("act", "done"))
    return Story(name="quorum", decisions={"both": (("bob", "reject"),)}, status="CANCELLED")


def _signals(rng: random.Random) -> Story:
    first, second = rng.randrange(1000), rng.randrange(1000)
    return Story(
        name="signals",
        signals=(Signal("go", first), Signal("go", second)),
        holds=_answered("after", [first, second]),
    )


def _parallel(rng: random.Random) -> Story:
    number = rng.randrange(1000)

    def holds(context: Context) -> bool:
        return (
            _at(context, "steps", "all", "agents", "result", "answer") == 2
            and _at(context, "steps", "all", "timer", "result", "answer") == "then"
            and _at(context, "steps", "all", "person", "result", "approved") is True
            and _at(context, "steps", "all", "signal", "result") == number
            and _answered("after", 2)(context)
        )

    return Story(
        name="parallel", signals=(Signal("go", number),), decisions={"say": (("alice", "approve"),)}, holds=holds
    )


def _items(rng: random.Random) -> list[int]:
    return [rng.randrange(1000) for _ in range(ITEMS)]


def _foreach(rng: random.Random) -> Story:
    items = _items(rng)
    return Story(name="foreach", input={"items": items}, holds=lambda context: _each(context, "result") == items)


def _nested(rng: random.Random) -> Story:
    items = _items(rng)
    return Story(
        name="nested",
        input={"items": items},
        holds=lambda context: (
            _each(context, "result", "left", "result") == items
            and _each(context, "result", "right", "result") == list(range(ITEMS))
        ),
    )


def _each(context: Context, *path: str) -> list[Any]:
    written = _at(context, "steps", "each")
    return [_at(one, *path, "answer") for one in written] if isinstance(written, list) else []


def _plain(name: str, holds: Callable[[Context], bool], **more: Any) -> Callable[[random.Random], Story]:
    return lambda _: Story(name=name, holds=holds, **more)


STORIES: Sequence[tuple[float, Callable[[random.Random], Story]]] = (
    (3, _plain("chain", lambda context: [_at(context, "steps", s, "answer") for s in "abc"] == [1, 1, 3])),
    (2, _plain("slow", _answered("hold", "held"))),
    (3, _gate),
    (2, _quorum),
    (1, _plain("unheard", _never("never", _answered("late", "late")))),
    (2, _signals),
    (2, _plain("retry", lambda context: _at(context, "steps", "try") == {"answer": "at last", "attempt": 3})),
    (1, _plain("hopeless", _never("never", _answered("mend", "retry_exhausted")))),
    (2, _plain("timer", _answered("after", "waited"))),
    (1, _plain("overdue", _never("never", _answered("after", "timeout")))),
    (2, _parallel),
    (2, _foreach),
    (1, _nested),
    (2, _plain("loop", _answered("after", ROUNDS))),
    (
        1,
        _plain(
            "cancelled", lambda context: _at(context, "steps", "never") is None, control="cancel", status="CANCELLED"
        ),
    ),
    (1, _plain("paused", _answered("c", "resumed"), control="pause")),
)


def stories(seed: int) -> Callable[[], Story]:
    """Stories without end, the same for the same seed."""
    rng = random.Random(f"stories {seed}")
    weights, makers = [weight for weight, _ in STORIES], [maker for _, maker in STORIES]
    return lambda: rng.choices(makers, weights)[0](rng)
