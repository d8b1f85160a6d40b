"""Inputs and outputs of the actions, as they stand once their templates are filled in."""

from typing import Any

import msgspec

AGENT_RUN = "agent.run"
HUMAN_APPROVAL = "human.approval"
SIGNAL_WAIT = "signal.wait"
TIMER_WAIT = "timer.wait"
ACTIONS = (AGENT_RUN, HUMAN_APPROVAL, SIGNAL_WAIT, TIMER_WAIT)
TASK_NAMES = ("task", "userInput")
"""The variables in which an agent is given its task, where its schema has them."""


class ActionInput(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of action inputs: an unknown field is an error, never ignored."""


class AgentRunInput(ActionInput, frozen=True, kw_only=True):
    agent: str
    """``name`` or ``name@environment``."""
    task: Any = None
    """Text; any other JSON value is handed over as compact JSON."""
    variables: dict[str, Any] = {}
    timeout_seconds: float | None = None


class HumanApprovalInput(ActionInput, frozen=True, kw_only=True):
    message: str
    summary_path: str | None = None
    approvers: tuple[str, ...] = ()
    timeout_seconds: float | None = None
    on_reject: str = "cancel"
    """``cancel``, ``fail``, or the name of a state."""
    on_timeout: str = "fail"
    """``fail``, or the name of a state."""
    quorum: int = 1
    allow_self_approval: bool | None = None


class SignalWaitInput(ActionInput, frozen=True, kw_only=True):
    signal: str
    timeout_seconds: float | None = None


class TimerWaitInput(ActionInput, frozen=True, kw_only=True):
    seconds: float | None = None
    until: str | None = None
    """RFC 3339."""


class ApprovalOutput(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an approval writes at its result path."""

    approved: bool
    decided_by: str | None
    comment: str | None
    decided_at: str | None
