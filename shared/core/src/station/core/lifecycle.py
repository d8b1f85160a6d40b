"""Who may go where: the status tables of runs, steps and approvals, as data.

The CHECKs of the store, the answers to commands and the diagram in the documentation come from here.
"""

from __future__ import annotations

from station.contracts.statuses import ApprovalStatus, RunStatus, StepStatus

_RUN_ENDS = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.TIMED_OUT})
_RUN_MOVING = frozenset({RunStatus.RUNNING, RunStatus.WAITING_APPROVAL, RunStatus.WAITING_SIGNAL, RunStatus.PAUSED})

RUN_TRANSITIONS: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: _RUN_MOVING | _RUN_ENDS,
    RunStatus.RUNNING: (_RUN_MOVING - {RunStatus.RUNNING}) | _RUN_ENDS,
    RunStatus.WAITING_APPROVAL: (_RUN_MOVING - {RunStatus.WAITING_APPROVAL}) | _RUN_ENDS,
    RunStatus.WAITING_SIGNAL: (_RUN_MOVING - {RunStatus.WAITING_SIGNAL}) | _RUN_ENDS,
    RunStatus.PAUSED: (_RUN_MOVING - {RunStatus.PAUSED}) | _RUN_ENDS,
    RunStatus.COMPLETED: frozenset(),
    RunStatus.FAILED: frozenset(),
    RunStatus.CANCELLED: frozenset(),
    RunStatus.TIMED_OUT: frozenset(),
}

STEP_TRANSITIONS: dict[StepStatus, frozenset[StepStatus]] = {
    StepStatus.PENDING: frozenset(set(StepStatus) - {StepStatus.PENDING}),
    StepStatus.RUNNING: frozenset(
        {StepStatus.PENDING, StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.CANCELLED, StepStatus.TIMED_OUT}
    ),
    StepStatus.WAITING_APPROVAL: frozenset(
        {StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.CANCELLED, StepStatus.TIMED_OUT}
    ),
    StepStatus.SUCCEEDED: frozenset(),
    StepStatus.FAILED: frozenset(),
    StepStatus.CANCELLED: frozenset(),
    StepStatus.TIMED_OUT: frozenset(),
}

APPROVAL_TRANSITIONS: dict[ApprovalStatus, frozenset[ApprovalStatus]] = {
    ApprovalStatus.PENDING: frozenset(set(ApprovalStatus) - {ApprovalStatus.PENDING}),
    ApprovalStatus.APPROVED: frozenset(),
    ApprovalStatus.REJECTED: frozenset(),
    ApprovalStatus.TIMED_OUT: frozenset(),
    ApprovalStatus.CANCELLED: frozenset(),
}

ENDED_RUNS = frozenset(status for status, ways in RUN_TRANSITIONS.items() if not ways)
ENDED_STEPS = frozenset(status for status, ways in STEP_TRANSITIONS.items() if not ways)

PAUSABLE = frozenset({RunStatus.PENDING, RunStatus.RUNNING, RunStatus.WAITING_APPROVAL, RunStatus.WAITING_SIGNAL})
"""Statuses in which ``pause`` is allowed."""
RESUMABLE = frozenset({RunStatus.PAUSED})
"""Statuses in which ``resume`` is allowed."""
CANCELLABLE = frozenset(RunStatus) - ENDED_RUNS
"""Statuses in which ``cancel`` is allowed."""
SIGNALLABLE = frozenset(RunStatus) - ENDED_RUNS
"""Statuses in which a signal is accepted."""
