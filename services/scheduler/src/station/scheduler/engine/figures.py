"""Metrics of what was committed: runs and steps by status, how long they took, what had to be handed out again."""

from __future__ import annotations

from station.contracts.events import RunCreated, RunEnded, StepRedispatched
from station.core.lifecycle import ENDED_RUNS, ENDED_STEPS
from station.core.run import Step
from station.runtime import metrics
from station.scheduler.engine.engine import Move
from station.scheduler.store.reader import Reader

RUNS = metrics.counter("runs_total", "Runs by the status they reached.", ["status"])
STEPS = metrics.counter("steps_total", "Attempts by their outcome.", ["action", "status"])
OPEN = metrics.gauge("runs_open", "Runs that have not ended.")
RUN_SECONDS = metrics.histogram("run_seconds", "Time from the creation to the end of a run.", ["status"])
STEP_SECONDS = metrics.histogram("step_seconds", "Time from the start to the outcome of an attempt.", ["action"])
REDISPATCHED = metrics.counter("steps_redispatched_total", "Attempts handed out again because their runner was gone.")


class Figures:
    """Counts what turns did."""

    async def load(self, reader: Reader) -> None:
        """Count on from what the store holds."""
        rows = await reader.rows("SELECT status, sum(runs) FROM workflow_run_counts GROUP BY status")
        OPEN.set(sum(count for status, count in rows if status not in ENDED_RUNS))

    def committed(self, move: Move) -> None:
        """Count one turn."""
        run = move.slot.run
        for step in move.steps:
            if step.status in ENDED_STEPS and step.action is not None:
                STEPS.labels(step.action, step.status).inc()
                STEP_SECONDS.labels(step.action).observe(_seconds(step))
        for event in move.decision.events:
            if isinstance(event.data, RunCreated):
                RUNS.labels("CREATED").inc()
                OPEN.inc()
            elif isinstance(event.data, StepRedispatched):
                REDISPATCHED.inc()
            elif isinstance(event.data, RunEnded) and run.ended is not None:
                RUNS.labels(run.ended).inc()
                OPEN.dec()
                RUN_SECONDS.labels(run.ended).observe(max(0, event.at - run.created_at) / 1000)


def _seconds(step: Step) -> float:
    began = step.entered_at if step.started_at is None else step.started_at
    return max(0, (step.completed_at or began) - began) / 1000
