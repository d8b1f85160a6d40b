"""Spans of runs, states and steps, made from what was committed: ids follow from run and step, times from the store.

So a trace is whole even if the scheduler was restarted in the middle of the run: what was on its way to the collector
when it was killed is made again, just as it was.
"""

from __future__ import annotations

from collections.abc import Sequence

from station.contracts.events import StateExited
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
_RECENT = """
SELECT DISTINCT run_id FROM workflow_run_steps
WHERE completed_at >= (SELECT max(completed_at) FROM workflow_run_steps) - ? LIMIT 1000
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
        exited = {event.step_id: event for event in move.decision.events if isinstance(event.data, StateExited)}
        for step in move.steps:
            if step.status in ENDED_STEPS:
                self._emit_step(run, step, trace_id)
                if step.step_id in exited or run.ended is not None:
                    self._emit_state(run, step, trace_id)
        if run.ended is not None:
            self._emit_run(run, trace_id)

    async def emit_recent(self, reader: Reader) -> None:
        """Emit once more what had ended shortly before this start; a collector takes the same span twice as one."""
        if not self._exporter.enabled:
            return
        for (run_id,) in await reader.rows(_RECENT, (_UNDER_WAY_MS,)):
            self._emit_ended(await reader.rows(EVENTS_OF_RUN, (run_id,)))

    def _emit_ended(self, rows: Sequence[Row]) -> None:
        events = [event_of(row) for row in rows]
        run = create(events[0])
        for event in events[1:]:
            evolve(run, event)
        trace_id = telemetry.trace_id_of(run.run_id, run.traceparent)
        exited = {event.step_id for event in events if isinstance(event.data, StateExited)}
        last = {step.step_id: step for step in run.changes.steps.values()}
        for step in run.changes.steps.values():
            if step.status in ENDED_STEPS:
                self._emit_step(run, step, trace_id)
                if last[step.step_id] is step and (step.step_id in exited or run.ended is not None):
                    self._emit_state(run, step, trace_id)
        if run.ended is not None:
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
