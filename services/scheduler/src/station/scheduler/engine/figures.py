"""Metrics of what was committed: runs and steps by status, how long they took, what had to be handed out again."""

from __future__ import annotations

from station.contracts.events import RunCreated, StepRedispatched
from station.core.lifecycle import ENDED_STEPS
from station.runtime import metrics
from station.scheduler.engine.engine import Move

RUNS = metrics.counter("runs_total", "Runs by the status they reached.", ["status"])
STEPS = metrics.counter("steps_total", "Attempts by their outcome.", ["action", "status"])
RUN_SECONDS = metrics.histogram("run_seconds", "Time from the creation to the end of a run.", ["status"])
STEP_SECONDS = metrics.histogram("step_seconds", "Time from the start to the outcome of an attempt.", ["action"])
REDISPATCHED = metrics.counter("steps_redispatched_total", "Attempts handed out again because their runner was gone.")


class Figures:
    """Counts what turns did."""

    def committed(self, move: Move) -> None:
        """Count one turn."""
        run = move.slot.run
        for step in move.steps:
            if step.status in ENDED_STEPS and step.action is not None and step.completed_at is not None:
                STEPS.labels(step.action, step.status).inc()
                STEP_SECONDS.labels(step.action).observe(
                    max(0, step.completed_at - (step.started_at or step.entered_at)) / 1000
                )
        for event in move.decision.events:
            if isinstance(event.data, RunCreated):
                RUNS.labels("CREATED").inc()
            elif isinstance(event.data, StepRedispatched):
                REDISPATCHED.inc()
        if run.ended is not None and move.outgoing.events and run.completed_at == move.outgoing.events[-1].at:
            RUNS.labels(run.ended).inc()
            RUN_SECONDS.labels(run.ended).observe(max(0, run.completed_at - run.created_at) / 1000)
