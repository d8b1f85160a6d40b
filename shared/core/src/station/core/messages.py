"""What can happen to a run from outside: commands, reports of runners, timers. ``decide`` answers each of them.

Actors are ``user:…``, ``runner:…``, ``system:scheduler`` or ``bus``.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from station.contracts.errors import StepError
from station.contracts.usage import AgentUse, Usage


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the messages."""


class Start(Message, frozen=True, kw_only=True):
    """Begin the run: it has just been created."""


class Pause(Message, frozen=True, kw_only=True):
    actor: str
    reason: str | None = None


class Resume(Message, frozen=True, kw_only=True):
    actor: str
    reason: str | None = None


class Cancel(Message, frozen=True, kw_only=True):
    actor: str
    reason: str | None = None


class SendSignal(Message, frozen=True, kw_only=True):
    actor: str
    signal_id: str
    name: str
    payload: Any = None


class DecideApproval(Message, frozen=True, kw_only=True):
    approval_id: str
    by: str
    approve: bool
    comment: str | None = None
    summary_digest: str | None = None


class ClaimStep(Message, frozen=True, kw_only=True):
    """A runner asks for an attempt. ``agent_run_id`` is what it becomes known under if it may run."""

    step_id: str
    attempt: int
    runner: str
    agent_run_id: str
    handed_out: bool = False
    """Whether the attempt is known to have been handed out, so that its back-off is over whatever the clock says."""


class ReportStep(Message, frozen=True, kw_only=True):
    """A runner tells the outcome of an attempt; ``error`` is None on success."""

    step_id: str
    attempt: int
    token: int
    runner: str
    output: Any = None
    error: StepError | None = None
    usage: Usage | None = None
    agent: AgentUse | None = None
    next_ids: tuple[str, ...] = ()
    """What attempts that follow become known under, if the runner takes them on at once: as many as it wants."""
    environments: frozenset[str] = frozenset()
    """Those whose agents the runner has."""


class HandOutAgain(Message, frozen=True, kw_only=True):
    """The attempt lost its runner (lease expired, runner restarted, given back)."""

    step_id: str
    attempt: int
    token: int
    reason: str
    runner: str | None = None
    """Who gave it back, if somebody did."""
    usage: Usage | None = None
    """What the attempt has used meanwhile."""


class WakeStep(Message, frozen=True, kw_only=True):
    """The moment ``wake_at`` of an attempt has come."""

    step_id: str
    attempt: int
    elapsed: int | None = None
    """The ``wake_at`` whose length of time has passed, whatever the clock says; None goes by the clock."""


class ReachDeadline(Message, frozen=True, kw_only=True):
    """The run's own deadline has come."""


class Evaluated(Message, frozen=True, kw_only=True):
    """The answer to an ``Evaluation``: the index of the first true condition, -1 for none, or what went wrong."""

    step_id: str
    matched: int = -1
    problem: str | None = None


AnyMessage: TypeAlias = (
    Start
    | Pause
    | Resume
    | Cancel
    | SendSignal
    | DecideApproval
    | ClaimStep
    | ReportStep
    | HandOutAgain
    | WakeStep
    | ReachDeadline
    | Evaluated
)
