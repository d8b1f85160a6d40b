"""Spans of runs, states and steps, made from what was committed: ids follow from run and step, times from the store.

So a trace is whole even if the scheduler was restarted in the middle of the run: what was on its way to the collector
when it was killed is made again, just as it was.
"""

from __future__ import annotations

from collections.abc import Sequence

from station.contracts.events import RunEnded, StateExited
from station.core.evolve import create, evolve
from station.core.lifecycle import ENDED_STEPS
from station.core.run import Run, Step
from station.runtime import telemetry
from station.runtime.telemetry import SpanRecord, Telemetry
from station.scheduler.engine.engine import Move
from station.scheduler.engine.loading import EVENTS_OF_RUN, event_of
from station.scheduler.store.reader import Reader, Row

_UNDER_WAY_MS = 5_000
"""Spans are sent every half second, and tried again for a while."""
# Of each open run its last event; of each workflow the runs that ended last. CROSS JOIN keeps this order of the tables,
# so that nothing is read through from end to end.
_RECENT = """
WITH latest (run_id, at) AS (
    SELECT r.run_id, e.at FROM workflow_runs r JOIN workflow_run_events e ON e.run_id = r.run_id AND e.seq = r.seq
    WHERE r.status IN ('PENDING', 'RUNNING', 'WAITING_APPROVAL', 'WAITING_SIGNAL', 'PAUSED')
    UNION ALL
    SELECT r.run_id, r.completed_at FROM workflows w CROSS JOIN workflow_runs r ON r.workflow_id = w.workflow_id
    WHERE r.completed_at >= ?1 + (
        SELECT max(completed_at) FROM workflow_runs l WHERE l.workflow_id = w.workflow_id AND completed_at IS NOT NULL)
), since (moment) AS (SELECT max(at) + ?1 FROM latest)
SELECT run_id, moment FROM latest, since WHERE at >= moment ORDER BY at DESC LIMIT 1000
"""


class Spans:
    """Emits the spans of a turn; costs nothing when nobody exports."""

    def __init__(self, exporter: Telemetry) -> None:
        self._exporter = exporter

    def committed(self, move: Move) -> None:
        """Emit what has ended in a turn."""
        if not self._exporter.enabled:
            return
        run, trace_id = move.slot.run, move.slot.trace_id
        exited = {event.step_id for event in move.decision.events if isinstance(event.data, StateExited)}
        # An ended run still has turns: the note of a result that came too late.
        ending = any(isinstance(event.data, RunEnded) for event in move.decision.events)
        for step in move.steps:
            if step.status in ENDED_STEPS:
                self._emit_step(run, step, trace_id)
                if step.step_id in exited or ending:
                    self._emit_state(run, step, trace_id)
        if ending:
            self._emit_run(run, trace_id)

    async def emit_recent(self, reader: Reader) -> None:
        """Emit once more what had ended shortly before this start; a collector takes the same span twice as one."""
        if not self._exporter.enabled:
            return
        for run_id, since in await reader.rows(_RECENT, (-_UNDER_WAY_MS,)):
            self._emit_ended(await reader.rows(EVENTS_OF_RUN, (run_id,)), since)

    def _emit_ended(self, rows: Sequence[Row], since: int) -> None:
        events = [event_of(row) for row in rows]
        run = create(events[0])
        for event in events[1:]:
            evolve(run, event)
        trace_id = telemetry.trace_id_of(run.run_id, run.traceparent)
        exited = {event.step_id for event in events if isinstance(event.data, StateExited)}
        last = {step.step_id: step for step in run.changes.steps.values()}
        for step in run.changes.steps.values():
            if step.completed_at is not None and step.completed_at >= since:
                self._emit_step(run, step, trace_id)
                if last[step.step_id] is step and (step.step_id in exited or run.ended is not None):
                    self._emit_state(run, step, trace_id)
        if run.completed_at is not None and run.completed_at >= since:
            self._emit_run(run, trace_id)

    def _emit_run(self, run: Run, trace_id: int) -> None:
        caller = telemetry.parse_traceparent(run.traceparent) if run.traceparent else None
        self._exporter.emit(
            SpanRecord(
                name="WorkflowRun",
                trace_id=trace_id,
                span_id=telemetry.run_span_id(run.run_id),
                parent_span_id=caller[1] if caller else None,
                start_ms=run.created_at,
                end_ms=run.completed_at or run.created_at,
                attributes={"workflow_id": run.workflow_id, "run_id": run.run_id, "status": str(run.status)},
                error=run.error.message if run.error else None,
            )
        )

    def _emit_state(self, run: Run, step: Step, trace_id: int) -> None:
        container = step.scope.container
        parent = telemetry.run_span_id(run.run_id)
        if container is not None:
            parent = telemetry.state_span_id(run.run_id, container.step_id)
        self._exporter.emit(
            SpanRecord(
                name="StateTransition",
                trace_id=trace_id,
                span_id=telemetry.state_span_id(run.run_id, step.step_id),
                parent_span_id=parent,
                start_ms=step.state_entered_at,
                end_ms=step.completed_at or step.state_entered_at,
                attributes={
                    "state_name": step.state_name,
                    "state_type": step.state_type,
                    "run_id": run.run_id,
                    "status": str(step.status),
                },
                error=step.error.message if step.error else None,
            )
        )

    def _emit_step(self, run: Run, step: Step, trace_id: int) -> None:
        if step.action is None:
            return
        self._exporter.emit(
            SpanRecord(
                name="StepExecute",
                trace_id=trace_id,
                span_id=telemetry.step_span_id(run.run_id, step.step_id, step.attempt),
                parent_span_id=telemetry.state_span_id(run.run_id, step.step_id),
                start_ms=step.started_at or step.entered_at,
                end_ms=step.completed_at or step.entered_at,
                attributes={
                    "action": step.action,
                    "step_id": step.step_id,
                    "attempt": step.attempt,
                    "run_id": run.run_id,
                    "status": str(step.status),
                },
                error=step.error.message if step.error else None,
            )
        )
