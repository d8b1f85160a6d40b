"""What is told of an attempt that ended: one log line, the figures, and a span."""

from typing import Any

import msgspec

from station.agent_runner import metrics
from station.agent_runner.executors.protocol import Executor, Outcome
from station.agent_runner.held import Held
from station.agent_runner.redaction import Redactor
from station.contracts.errors import ErrorType
from station.contracts.statuses import StepStatus
from station.runtime.logging import get_logger
from station.runtime.telemetry import (
    SpanRecord,
    Telemetry,
    agent_span_id,
    parse_traceparent,
    step_span_id,
    trace_id_of,
    traceparent,
)

log = get_logger("steps")


class Recorder:
    """Tells of attempts."""

    def __init__(self, telemetry: Telemetry, redactor: Redactor | None = None) -> None:
        self._telemetry = telemetry
        self._redactor = redactor or Redactor()

    def ended(self, executor: Executor, held: Held, outcome: Outcome, started_ms: int, duration_ms: int) -> None:
        """One attempt is over, its result not yet reported."""
        status = _status(outcome)
        error_type = outcome.error.type.value if outcome.error else None
        metrics.STEPS.labels(executor.action, status.value, error_type or "").inc()
        metrics.SECONDS.labels(executor.action).observe(duration_ms / 1000)
        _log(executor, held, outcome, status, duration_ms)
        if self._telemetry.enabled:
            span = _span(executor, held, outcome, started_ms, duration_ms)
            attributes = self._redactor.value(span.attributes)
            self._telemetry.emit(msgspec.structs.replace(span, attributes=attributes))


def _status(outcome: Outcome) -> StepStatus:
    if outcome.error is None:
        return StepStatus.SUCCEEDED
    if outcome.cancelled:
        return StepStatus.CANCELLED
    return StepStatus.TIMED_OUT if outcome.error.type is ErrorType.TIMEOUT else StepStatus.FAILED


def _log(executor: Executor, held: Held, outcome: Outcome, status: StepStatus, duration_ms: int) -> None:
    fields: dict[str, Any] = {
        "run_id": held.task.run_id,
        "step_id": held.task.step_id,
        "attempt": held.task.attempt,
        "executor": executor.action,
        "agent": held.task.agent,
        "duration_ms": duration_ms,
        "status": status.value,
    }
    if outcome.error is None:
        log.info("step_executed", **fields)
    else:
        log.warning("step_executed", **fields, error_type=outcome.error.type.value, error=outcome.error.message)


def span_of(held: Held) -> str:
    """The traceparent of an attempt's span, for what is done inside of it."""
    return traceparent(_above(held)[0], agent_span_id(*held.key))


def _above(held: Held) -> tuple[int, int]:
    """Trace and span that an attempt belongs into."""
    run_id, step_id, attempt = held.key
    parent = parse_traceparent(held.traceparent) if held.traceparent else None
    return parent or (trace_id_of(run_id, None), step_span_id(run_id, step_id, attempt))


def _span(executor: Executor, held: Held, outcome: Outcome, started_ms: int, duration_ms: int) -> SpanRecord:
    run_id, step_id, attempt = held.key
    trace_id, parent_id = _above(held)
    attributes = {
        "run_id": run_id,
        "step_id": step_id,
        "attempt": attempt,
        "workflow_id": held.task.workflow_id,
        "agent_run_id": held.claim.agent_run_id or "",
        "status": _status(outcome).value,
        **outcome.attributes,
    }
    return SpanRecord(
        name=executor.span,
        trace_id=trace_id,
        span_id=agent_span_id(run_id, step_id, attempt),
        parent_span_id=parent_id,
        start_ms=started_ms,
        end_ms=started_ms + duration_ms,
        attributes=attributes if outcome.error is None else {**attributes, "error_type": outcome.error.type.value},
        error=outcome.error.message if outcome.error else None,
    )
