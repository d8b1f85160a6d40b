"""Sending spans with OTLP over HTTP, through the batch processor of the OpenTelemetry SDK."""

import threading

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from station.runtime.telemetry import SpanRecord

_SCOPE = InstrumentationScope("station")
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_NANOSECONDS = 1_000_000
_SEND_SECONDS = 1
_SHUTDOWN_SECONDS = 2.0


class OtlpExporter:
    """Collects finished spans and sends them every half second. A collector that is away costs spans, never time."""

    def __init__(self, service: str, endpoint: str) -> None:
        self._resource = Resource.create({"service.name": f"station-{service}"})
        exporter = OTLPSpanExporter(endpoint=_traces_url(endpoint), timeout=_SEND_SECONDS)
        self._processor = BatchSpanProcessor(exporter, max_queue_size=16_384, schedule_delay_millis=500)
        provider = TracerProvider(resource=self._resource, shutdown_on_exit=False)
        provider.add_span_processor(self._processor)
        self.tracer: trace.Tracer = provider.get_tracer("station")

    def emit(self, record: SpanRecord) -> None:
        parent = record.parent_span_id
        span = ReadableSpan(
            name=record.name,
            context=SpanContext(record.trace_id, record.span_id, is_remote=False, trace_flags=_SAMPLED),
            parent=(parent and SpanContext(record.trace_id, parent, is_remote=True, trace_flags=_SAMPLED)) or None,
            resource=self._resource,
            attributes=record.attributes,
            status=Status(StatusCode.OK) if record.error is None else Status(StatusCode.ERROR, record.error),
            start_time=record.start_ms * _NANOSECONDS,
            end_time=record.end_ms * _NANOSECONDS,
            instrumentation_scope=_SCOPE,
        )
        self._processor.on_end(span)

    def shutdown(self) -> None:
        """With no collector the SDK would try again for ten seconds, so it does that in a thread we do not wait for."""
        ending = threading.Thread(target=self._processor.shutdown, name="otlp-shutdown", daemon=True)
        ending.start()
        ending.join(_SHUTDOWN_SECONDS)


def _traces_url(endpoint: str) -> str:
    base = endpoint.rstrip("/")
    return base if base.endswith("/v1/traces") else f"{base}/v1/traces"
