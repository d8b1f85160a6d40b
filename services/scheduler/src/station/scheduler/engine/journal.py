"""Log lines of what was committed: how runs ended, and the attempts that no runner logs because nobody ran them."""

from __future__ import annotations

from typing import Any

from station.contracts.actions import AGENT_RUN
from station.contracts.errors import StepError
from station.contracts.events import RunEnded
from station.contracts.statuses import RunStatus, StepStatus
from station.core.lifecycle import ENDED_STEPS
from station.core.run import Run, Step
from station.runtime.logging import get_logger
from station.scheduler.engine.engine import Move

log = get_logger("runs")

_BAD = frozenset({StepStatus.FAILED, StepStatus.TIMED_OUT, RunStatus.FAILED, RunStatus.TIMED_OUT})


class Journal:
    """Writes down what turns did."""

    def committed(self, move: Move) -> None:
        """Log what one turn has ended."""
        run = move.slot.run
        for step in move.steps:
            if step.status in ENDED_STEPS and step.action not in (None, AGENT_RUN):
                _line("step_executed", step.status, step.error, **_of_step(run, step))
        if run.ended is not None and any(isinstance(event.data, RunEnded) for event in move.decision.events):
            took = max(0, (run.completed_at or run.created_at) - run.created_at)
            _line("run_ended", run.ended, run.error, run_id=run.run_id, workflow_id=run.workflow_id, duration_ms=took)


def _of_step(run: Run, step: Step) -> dict[str, Any]:
    began = step.entered_at if step.started_at is None else step.started_at
    return {
        "run_id": run.run_id,
        "step_id": step.step_id,
        "attempt": step.attempt,
        "executor": step.action,
        "duration_ms": max(0, (step.completed_at or began) - began),
    }


def _line(message: str, status: StepStatus | RunStatus, error: StepError | None, **fields: Any) -> None:
    if error is not None:
        fields |= {"error_type": error.type.value, "error": error.message}
    (log.warning if status in _BAD else log.info)(message, **fields, status=status.value)
