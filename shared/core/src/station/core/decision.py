"""What ``decide`` answers: facts to store, work to hand out, questions to the evaluators, and the reply."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from station.contracts.approvals import ApprovalTask
from station.contracts.events import Event
from station.contracts.work import StepTask
from station.core.expressions import Expression


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a message was not accepted. Nothing has changed."""

    code: str
    detail: str
    status: int = 409
    context: dict[str, Any] = {}


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Conditions that need the Starlark helper; the answer comes back as ``Evaluated`` in the same turn."""

    step_id: str
    expressions: tuple[Expression, ...]
    bindings: dict[str, Any]


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt whose runner must be told to stop."""

    step_id: str
    attempt: int
    token: int


class Assigned(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that is given to the runner whose report it follows from."""

    task: StepTask
    token: int
    agent_run_id: str


class Decision(msgspec.Struct, kw_only=True, eq=False):
    """All of it is committed together, or nothing is."""

    events: list[Event] = []
    tasks: list[StepTask] = []
    """Attempts to hand out to runners."""
    assigned: list[Assigned] = []
    """Attempts given to the runner that reports, in place of handing them out."""
    asks: list[ApprovalTask] = []
    """Approvals to tell approval-service about."""
    stops: list[Stop] = []
    evaluations: list[Evaluation] = []
    refusal: Refusal | None = None
    verdict: Literal["run", "busy", "skip", "accepted", "fenced", "duplicate"] | None = None
    """The reply to a claim, a report or a signal."""
    token: int | None = None
    """With ``run``: the fencing token."""
    agent_run_id: str | None = None
    """With ``run``: under which id the work is recorded."""
