"""Spans for traces: finished ones with ids and times that we choose, and live ones for libraries.

Without an endpoint nothing is imported, collected or sent.
"""

from typing import Any, Protocol

import msgspec
from opentelemetry import trace
from opentelemetry.context import Context

from station.runtime.traceids import (
    agent_span_id,
    parse_traceparent,
    run_span_id,
    state_span_id,
    step_span_id,
    trace_id_of,
    traceparent,
)

__all__ = [
    "SpanRecord",
    "Telemetry",
    "agent_span_id",
    "parent_context",
    "parse_traceparent",
    "run_span_id",
    "setup",
    "state_span_id",
    "step_span_id",
    "trace_id_of",
    "traceparent",
]


class SpanRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One finished span. Ids as in `traceids`; times are milliseconds since 1970, UTC."""

    name: str
    trace_id: int
    span_id: int
    parent_span_id: int | None = None
    start_ms: int
    end_ms: int
    attributes: dict[str, Any] = {}
    """Values that OpenTelemetry takes: text, numbers, booleans and lists of one of these."""
    error: str | None = None
    """Why it failed; None: it went well."""


class Exporter(Protocol):
    """Where finished spans go."""

    tracer: trace.Tracer

    def emit(self, record: SpanRecord) -> None: ...

    def shutdown(self) -> None: ...


class Telemetry:
    """The traces of one process."""

    def __init__(self, exporter: Exporter | None = None) -> None:
        self._exporter = exporter
        self.tracer: trace.Tracer = exporter.tracer if exporter else trace.NoOpTracer()
        """For spans that are timed while they run; start them with ``context=parent_context(…)``."""

    @property
    def enabled(self) -> bool:
        """Whether spans go anywhere: ask before making an expensive record."""
        return self._exporter is not None

    def emit(self, record: SpanRecord) -> None:
        """Hand over one finished span; it is sent in a thread of its own."""
        if self._exporter is not None:
            self._exporter.emit(record)

    def shutdown(self) -> None:
        """Send what is left, for 2 s at most."""
        if self._exporter is not None:
            self._exporter.shutdown()


def setup(service: str, endpoint: str | None) -> Telemetry:
    """Export to the collector at ``endpoint`` (``http://host:4318``), or nowhere."""
    if not endpoint:
        return Telemetry()
    # 30 MB and a fifth of a second that a process without traces need not pay.
    from station.runtime.otlp import OtlpExporter  # noqa: PLC0415

    return Telemetry(OtlpExporter(service, endpoint))


def parent_context(trace_id: int, span_id: int) -> Context:
    """The context in which live spans become children of a span that is known by its ids only."""
    parent = trace.SpanContext(
        trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED)
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(parent))
