"""Statuses of runs, steps, approvals and workflows: names only; who may go where is in ``station.core.lifecycle``."""

from enum import StrEnum


class RunStatus(StrEnum):
    """Lifecycle of a run."""

    PENDING = "PENDING"
    """Created, not yet started."""
    RUNNING = "RUNNING"
    """At least one step executes, or waits for a timer or a back-off."""
    WAITING_APPROVAL = "WAITING_APPROVAL"
    """Every open step waits, one of them for a person."""
    WAITING_SIGNAL = "WAITING_SIGNAL"
    """Every open step waits, none for a person, one for a signal."""
    PAUSED = "PAUSED"
    """An operator holds it."""
    COMPLETED = "COMPLETED"
    """The end was reached."""
    FAILED = "FAILED"
    """An error that nothing handled."""
    CANCELLED = "CANCELLED"
    """An operator, or a person's no, ended it."""
    TIMED_OUT = "TIMED_OUT"
    """The run's own deadline passed."""


class StepStatus(StrEnum):
    """Lifecycle of one attempt of a step."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    WAITING_APPROVAL = "WAITING_APPROVAL"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"


class ApprovalStatus(StrEnum):
    """Lifecycle of an approval."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"


class WorkflowStatus(StrEnum):
    """Whether new runs of a workflow may start."""

    ACTIVE = "active"
    DISABLED = "disabled"
