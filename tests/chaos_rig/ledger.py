"""What clients were told: every write that was acknowledged to them, and every answer that should not have been."""

from typing import Any

from msgspec import Struct, field

from tests.chaos_rig.stories import Story


class Begun(Struct):
    """A run that a client asked for."""

    key: str
    """The idempotency key, and a label of the run."""
    story: Story
    way: str
    run_id: str = ""
    """Empty until the start was acknowledged."""
    ended: str | None = None
    """The status that the client saw last, once it was the end."""


class Signalled(Struct, frozen=True):
    run_id: str
    signal_id: str
    payload: Any


class Decided(Struct, frozen=True):
    run_id: str
    approval_id: str
    user: str
    decision: str


class Steered(Struct, frozen=True):
    run_id: str
    command: str


class Ledger(Struct):
    """Filled by clients while it lasts, read when all is over."""

    runs: list[Begun] = field(default_factory=list[Begun])
    signals: list[Signalled] = field(default_factory=list[Signalled])
    decisions: list[Decided] = field(default_factory=list[Decided])
    controls: list[Steered] = field(default_factory=list[Steered])
    wrong: list[str] = field(default_factory=list[str])
    """Answers that the API must not give, in words."""
    answers: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    """By service: when it gave a good answer, milliseconds since 1970."""
    requests: int = 0
    retries: int = 0

    def acknowledged(self) -> int:
        """How many writes were."""
        started = sum(1 for run in self.runs if run.run_id)
        return started + len(self.signals) + len(self.decisions) + len(self.controls)
