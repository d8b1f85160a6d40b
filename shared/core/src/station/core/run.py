"""A run while it lives: what the fold of its events has built up so far.

Everything here is changed by ``evolve`` alone. ``changes`` collects what was touched since it was last taken,
so that a shell stores in proportion to what changed, not to the size of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from station.contracts.errors import StepError
from station.contracts.statuses import ApprovalStatus, RunStatus, StepStatus
from station.contracts.usage import AgentUse, Usage
from station.core.context import Owned

ScopePath: TypeAlias = tuple[tuple[str | int, ...], ...]
"""Enclosing containers, outermost first: ``(state, branch or index)``, with the visit from the second one on."""


class Scope(msgspec.Struct, kw_only=True, eq=False):
    """The root of a run, a branch, or an iteration: where results are written and which state is current."""

    path: ScopePath
    key: str | int | None
    """Branch name or item index; None at the root."""
    container: Step | None
    writes: Owned
    layers: list[Mapping[str, Any]]
    """What reads go through, innermost first."""
    places: tuple[str, ...]
    """Where the definition describes this scope: container names, and branch names for a parallel."""
    foreach_index: int | None = None
    visits: dict[str, int] = {}
    in_item: bool = False
    """Whether it is an iteration, or inside of one."""
    revisited: bool = False
    """Whether a container around it has been entered before."""
    current: Step | None = None
    ending: Any = None
    """The value of the state that ended the scope."""


class Children(msgspec.Struct, kw_only=True, eq=False):
    """What a parallel or a foreach keeps of its branches or iterations."""

    keys: tuple[str, ...] | None
    """Branch names in order; None for a foreach."""
    total: int
    items: list[Any] | None = None
    item_name: str | None = None
    open: int = 0
    """Scopes that have begun and not ended."""
    begun: int = 0
    results: dict[str | int, Any] = {}
    errors: dict[str | int, StepError] = {}


class Step(msgspec.Struct, kw_only=True, eq=False):
    """One attempt of one visit of a state."""

    step_id: str
    attempt: int
    entered_seq: int
    """The seq of its ``state_entered``: the step's place in the run's order."""
    state_name: str
    state_type: str
    scope: Scope
    visit: int
    action: str | None
    status: StepStatus
    input: Any
    entered_at: int
    """When this attempt came into being."""
    state_entered_at: int
    """When the state was entered: the first attempt's ``entered_at``."""
    stored: bool = False
    """Whether a shell has a row of this attempt already."""
    output: Any = None
    error: StepError | None = None
    agent_run_id: str | None = None
    token: int | None = None
    reported: bool = False
    """Whether its outcome is the word of its runner."""
    runner: str | None = None
    assigned: bool = False
    """Whether the runner got it with the answer to a report."""
    signal: str | None = None
    approval: Approval | None = None
    started_at: int | None = None
    completed_at: int | None = None
    wake_at: int | None = None
    """When a timer must look at it: back-off over, timed out, deadline, due."""
    children: Children | None = None
    usage: Usage | None = None
    """What this attempt has used, as far as runners have told."""
    agent: AgentUse | None = None
    """The agent that did its work."""
    spent: Usage | None = None
    """What earlier attempts of the same step have used."""


class Decided(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One person's word on an approval."""

    by: str
    decision: str
    comment: str | None
    at: int


class Approval(msgspec.Struct, kw_only=True, eq=False):
    """A question to people."""

    approval_id: str
    step: Step
    message: str
    summary: Any
    summary_digest: str
    approvers: tuple[str, ...]
    quorum: int
    allow_self_approval: bool
    requested_at: int
    deadline_at: int | None
    status: ApprovalStatus = ApprovalStatus.PENDING
    decisions: tuple[Decided, ...] = ()
    decided_at: int | None = None


class Signal(msgspec.Struct, kw_only=True, eq=False):
    """Something that was told to the run from outside."""

    signal_id: str
    name: str
    payload: Any
    received_at: int
    received_seq: int
    consumed_by: str | None = None
    """The step that took it."""


class Changes(msgspec.Struct, kw_only=True, eq=False):
    """What events have touched since the changes were last taken."""

    steps: dict[tuple[int, int], Step] = {}
    """By ``(entered_seq, attempt)``."""
    approvals: dict[str, Approval] = {}
    signals: dict[str, Signal] = {}


class Closed(msgspec.Struct, frozen=True):
    """What is remembered of a step that is over: enough to answer late claims and repeated reports."""

    attempt: int
    token: int | None
    reported: bool


class Run(msgspec.Struct, kw_only=True, eq=False):
    """One execution of a definition."""

    run_id: str
    workflow_id: str
    version: int
    environment: str
    input: dict[str, Any]
    labels: dict[str, str]
    started_by: str
    created_at: int
    root: Scope
    deadline_at: int | None = None
    traceparent: str | None = None
    agents: dict[str, str] = {}
    """Digests that the run is bound to, by the name that the definition gives."""
    usage: Usage | None = None
    """Of all attempts so far."""
    late: set[tuple[str, int]] = set()
    """Tokens whose usage has been counted though they have no outcome, with their step: a report may come again."""
    started_at: int | None = None
    completed_at: int | None = None
    paused: bool = False
    ended: RunStatus | None = None
    output: Any = None
    error: StepError | None = None
    seq: int = 0
    last_at: int = 0
    """The moment of the last event."""
    visited: int = 0
    """States entered so far, but for first visits for an item: those are bounded by the list."""
    scopes: dict[ScopePath, Scope] = {}
    open: dict[str, Step] = {}
    """Steps that have been entered and not exited, by step id."""
    closed: dict[str, Closed] = {}
    waiting: dict[str, Signal] = {}
    """Signals that nobody has taken yet, by id, in order of arrival."""
    signal_ids: set[str] = set()
    executing: int = 0
    asking: int = 0
    listening: int = 0
    """Open steps that execute, wait for a person, wait for a signal."""
    context_bytes: int | None = None
    """Upper bound of the context's size; None is not measured yet."""
    changes: Changes = msgspec.field(default_factory=Changes)

    @property
    def status(self) -> RunStatus:
        """The status that follows from what is open."""
        if self.ended is not None:
            return self.ended
        if self.paused:
            return RunStatus.PAUSED
        if self.started_at is None:
            return RunStatus.PENDING
        if self.executing == 0 and self.asking:
            return RunStatus.WAITING_APPROVAL
        if self.executing == 0 and self.listening:
            return RunStatus.WAITING_SIGNAL
        return RunStatus.RUNNING

    @property
    def context(self) -> dict[str, Any]:
        """The root context."""
        return self.root.writes

    def take_changes(self) -> Changes:
        """Give what was touched since the last call."""
        changes, self.changes = self.changes, Changes()
        return changes
