"""Counts of what a run's open steps are doing, from which its status follows without looking at every step."""

from __future__ import annotations

from station.contracts.actions import AGENT_RUN, SIGNAL_WAIT
from station.contracts.statuses import StepStatus
from station.core.run import Run, Step


def tally(run: Run, step: Step, change: int) -> None:
    """Count the step in (1) or out (-1) under what it is doing now.

    A back-off counts as nothing: while only timers are waited for, a run is RUNNING all the same.
    """
    status = step.status
    if step.action == AGENT_RUN:
        if status is StepStatus.RUNNING or (status is StepStatus.PENDING and step.wake_at is None):
            run.executing += change
    elif status is StepStatus.WAITING_APPROVAL:
        run.asking += change
    elif step.action == SIGNAL_WAIT and status is StepStatus.RUNNING:
        run.listening += change
