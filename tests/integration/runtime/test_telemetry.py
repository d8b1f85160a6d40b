"""Spans leave with exactly the ids and times that were given, and a collector that is away costs no time."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from station.runtime import telemetry
from station.runtime.telemetry import SpanRecord, parent_context
from tests.support.nats import free_port

RUN = SpanRecord(name="WorkflowRun", trace_id=2**127 + 1, span_id=7, start_ms=1_000, end_ms=61_000)
STEP = SpanRecord(
    name="StepExecute",
    trace_id=RUN.trace_id,
    span_id=8,
    parent_span_id=RUN.span_id,
    start_ms=2_000,
    end_ms=3_500,
    attributes={"run_id": "run_1", "attempt": 2, "cached": False},
    error="agent_error: exit code 1",
)


class Collector:
    """Takes OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.paths: set[str] = set()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (head := await reader.readline()).strip():
            self.paths.add(head.split()[1].decode())
            length = 0
            while (line := await reader.readline()).strip():
                name, _, value = line.decode().partition(":")
                length = int(value) if name.lower() == "content-length" else length
            self.take(ExportTraceServiceRequest.FromString(await reader.readexactly(length)))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            self.services |= {a.value.string_value for a in resource.resource.attributes if a.key == "service.name"}
            for scope in resource.scope_spans:
                self.spans += scope.spans


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    taking = Collector()
    server = await asyncio.start_server(taking.serve, "127.0.0.1", 0)
    taking.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield taking
    server.close()


async def test_finished_spans_keep_their_ids_times_and_outcome(collector: Collector) -> None:
    exporting = telemetry.setup("scheduler", collector.url)
    assert exporting.enabled
    exporting.emit(RUN)
    exporting.emit(STEP)
    await asyncio.to_thread(exporting.shutdown)
    run, step = sorted(collector.spans, key=lambda span: span.span_id)
    assert (collector.paths, collector.services) == ({"/v1/traces"}, {"station-scheduler"})
    assert int.from_bytes(run.trace_id) == int.from_bytes(step.trace_id) == RUN.trace_id
    assert (int.from_bytes(run.span_id), run.parent_span_id) == (7, b"")
    assert (int.from_bytes(step.span_id), int.from_bytes(step.parent_span_id)) == (8, 7)
    assert (step.start_time_unix_nano, step.end_time_unix_nano) == (2_000_000_000, 3_500_000_000)
    assert (run.status.code, step.status.code) == (Status.STATUS_CODE_OK, Status.STATUS_CODE_ERROR)
    assert step.status.message == "agent_error: exit code 1"
    values = {attribute.key: attribute.value for attribute in step.attributes}
    assert (values["run_id"].string_value, values["attempt"].int_value, values["cached"].bool_value) == (
        "run_1",
        2,
        False,
    )


async def test_live_spans_hang_under_a_span_known_by_its_ids(collector: Collector) -> None:
    exporting = telemetry.setup("agent-runner", collector.url)
    with exporting.tracer.start_as_current_span("chat", context=parent_context(STEP.trace_id, STEP.span_id)):
        pass
    await asyncio.to_thread(exporting.shutdown)
    [span] = collector.spans
    assert (int.from_bytes(span.trace_id), int.from_bytes(span.parent_span_id)) == (STEP.trace_id, STEP.span_id)


def test_a_collector_that_is_away_holds_up_nothing() -> None:
    exporting = telemetry.setup("gateway", f"http://127.0.0.1:{free_port()}")
    started = monotonic()
    for _ in range(1000):
        exporting.emit(STEP)
    exporting.shutdown()
    assert monotonic() - started < 5, "the exporter alone would go on for ten seconds"
