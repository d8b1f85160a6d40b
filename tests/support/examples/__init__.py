"""One example of every message and every event, with every field set: what the goldens in ``tests/data/golden`` hold.

An example never changes, as its golden does not. A field that is added gets an example of its own beside the old one,
named ``<Type>.<what is new>``.
"""

import msgspec

from station.contracts.events import EventData, PublishedEvent
from tests.support.examples import actions, approvals, events, runs, services, work, workflows

FIRST: tuple[msgspec.Struct, ...] = (
    *actions.EXAMPLES,
    *approvals.EXAMPLES,
    *runs.EXAMPLES,
    *services.EXAMPLES,
    *work.EXAMPLES,
    *workflows.EXAMPLES,
)
LATER: dict[str, msgspec.Struct] = runs.LATER | services.LATER | work.LATER | workflows.LATER
"""Examples of what came to a type after its first golden, as ``<Type>.<what is new>``."""

MESSAGES: dict[str, msgspec.Struct] = {type(example).__name__: example for example in FIRST} | LATER
"""By the name of the golden."""

EVENTS: dict[str, EventData] = events.EXAMPLES
"""By the name of the golden: the event's type, with a suffix after a dot where a type has several."""


def type_of(name: str) -> str:
    """The type that a golden of this name holds."""
    return name.partition(".")[0]


def published(name: str) -> PublishedEvent:
    """The example of an event in the envelope in which readers get it."""
    kind = type_of(name)
    return PublishedEvent(
        run_id="run_01jz0",
        seq=17,
        type=kind,
        at="2026-01-02T03:04:05.678Z",
        step_id=None if kind in events.OF_THE_RUN else "checkPods-5f2a",
        actor="system:scheduler",
        data=msgspec.json.decode(msgspec.json.encode(EVENTS[name])),
        hash="9c" * 32,
    )


def example(name: str) -> msgspec.Struct:
    """The whole message of this name."""
    return published(name) if name in EVENTS else MESSAGES[name]


NAMES = (*MESSAGES, *EVENTS)
