"""Wires the scheduler together, and says in which order it starts and stops."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any

from station.contracts.health import GetHealth, Health
from station.core.program import Limits
from station.runtime import telemetry
from station.runtime.broker import inbox_prefix
from station.runtime.bus import Bus
from station.runtime.clock import now_ms
from station.runtime.health import Probes
from station.runtime.lifecycle import Stop, end
from station.runtime.logging import get_logger
from station.runtime.rpc import serve
from station.runtime.settings import effective
from station.scheduler.endpoints import Answerers, endpoints
from station.scheduler.engine.attempts import Attempts
from station.scheduler.engine.dead_letters import DeadLetters
from station.scheduler.engine.engine import Engine
from station.scheduler.engine.figures import Figures
from station.scheduler.engine.journal import Journal
from station.scheduler.engine.loading import Programs
from station.scheduler.engine.reconcile import Reconcile
from station.scheduler.engine.relay import Relay
from station.scheduler.engine.runs import Runs
from station.scheduler.engine.spans import Spans
from station.scheduler.engine.stops import Stops
from station.scheduler.engine.sweep import Sweep
from station.scheduler.engine.timers import Timers
from station.scheduler.evaluation import Evaluator
from station.scheduler.evaluator.pool import EvaluatorPool
from station.scheduler.handlers.approvals import Approvals
from station.scheduler.handlers.catalog import Catalog
from station.scheduler.handlers.definitions import Definitions
from station.scheduler.handlers.health import Doctor
from station.scheduler.handlers.idempotency import Idempotency
from station.scheduler.handlers.intake import Intake
from station.scheduler.handlers.letters import Letters
from station.scheduler.handlers.queries import Queries
from station.scheduler.handlers.runners import Runners
from station.scheduler.handlers.runs import RunCommands
from station.scheduler.handlers.spending import Spending
from station.scheduler.handlers.steps import StepRequests
from station.scheduler.handlers.versions import Versions
from station.scheduler.handlers.workflows import Workflows
from station.scheduler.housekeeping import Housekeeping
from station.scheduler.settings import Settings
from station.scheduler.store.database import Lock, open_writer, path_of
from station.scheduler.store.reader import Reader
from station.scheduler.store.writer import Writer
from station.scheduler.sync import Sync

log = get_logger("app")

SERVICE = "scheduler"
VERSION = "0.1.0"


def _steady_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class Scheduler:
    """One scheduler: its parts, made for one database and one connection."""

    def __init__(
        self,
        settings: Settings,
        *,
        bus: Bus,
        writer: Writer,
        reader: Reader,
        pool: EvaluatorPool,
        last_outbox_id: int,
        now: Callable[[], int] = now_ms,
        steady: Callable[[], int] = _steady_ms,
    ) -> None:
        limits = Limits(
            max_states=settings.max_states,
            max_output_bytes=settings.max_output_bytes,
            max_context_bytes=settings.max_context_bytes,
        )
        self.reader = reader
        self.now = now
        self.programs = Programs(reader)
        self.engine = Engine(
            writer=writer,
            runs=Runs(reader, self.programs),
            limits=limits,
            now=now,
            evaluate=Evaluator(pool),
            first_outbox_id=last_outbox_id + 1,
        )
        self.relay = Relay(bus, writer, now)
        self.timers = Timers(self.engine, now, steady)
        self.attempts = Attempts(now, round(settings.lease_seconds * 1000), steady)
        self.reconcile = Reconcile(
            bus=bus,
            engine=self.engine,
            attempts=self.attempts,
            relay=self.relay,
            now=now,
            period=settings.reconcile_seconds,
        )
        self.figures = Figures()
        self.sweep = Sweep(reader=reader, timers=self.timers, attempts=self.attempts, now=now)
        self.catalog = Catalog(writer, now)
        self.versions = Versions(writer, reader, now)
        self.runners = Runners(writer, now)
        self.definitions = Definitions(
            writer=writer, reader=reader, programs=self.programs, catalog=self.catalog, now=now
        )
        self.sync = Sync(root=settings.environments_dir, definitions=self.definitions, catalog=self.catalog)
        self.idempotency = Idempotency(reader, now)
        self.runs = RunCommands(
            engine=self.engine,
            definitions=self.definitions,
            catalog=self.catalog,
            idempotency=self.idempotency,
            limits=limits,
            now=now,
        )
        self.letters = DeadLetters(writer, reader, now)
        self.intake = Intake(bus=bus, runs=self.runs, letters=self.letters)
        self.housekeeping = Housekeeping(writer, reader, self.letters, now)

    async def load(self) -> None:
        """Take up everything that the store holds."""
        for part in (self.catalog, self.runners, self.relay, self.timers, self.attempts, self.figures):
            await part.load(self.reader)
        await self.versions.load()
        await self.definitions.load()

    def watch(self, bus: Bus, spans: Spans) -> None:
        """Connect those who act on commits, in the order in which they act."""
        self.engine.watchers += [
            self.attempts,
            self.timers,
            self.relay,
            Stops(bus),
            self.figures,
            Journal(),
            spans,
        ]

    def background(self) -> list[Coroutine[Any, Any, None]]:
        """Give everything that runs for ever."""
        return [
            self.relay.run(),
            self.timers.run(),
            self.reconcile.run(),
            self.sweep.run(),
            self.sync.run(),
            self.intake.run(),
            self.housekeeping.run(),
        ]

    def answerers(self, bus: Bus, database: Path) -> Answerers:
        """Give those who answer requests."""
        spending = Spending(self.engine, self.attempts)
        return Answerers(
            runs=self.runs,
            workflows=Workflows(self.definitions, self.reader, bus, self.now),
            steps=StepRequests(
                engine=self.engine,
                attempts=self.attempts,
                reconcile=self.reconcile,
                catalog=self.catalog,
                runners=self.runners,
                versions=self.versions,
                reader=self.reader,
            ),
            approvals=Approvals(self.engine, self.reader, self.idempotency, bus),
            queries=Queries(reader=self.reader, engine=self.engine, relay=self.relay, attempts=self.attempts, bus=bus),
            catalog=self.catalog,
            versions=self.versions,
            spending=spending,
            doctor=Doctor(database, self.engine.writer),
            letters=Letters(self.letters),
        )


async def run(settings: Settings, stop: Stop) -> None:
    """The whole life of the process. Raises StoreError when the database cannot be used."""
    log.info("starting", **effective(settings))
    database = path_of(settings.database_url or f"sqlite:///{settings.data_dir / 'station.db'}")
    lock = Lock(database)
    lock.acquire()
    try:
        spans = telemetry.setup(SERVICE, settings.otlp_endpoint)
        async with _store(database, stop) as (writer, reader), _evaluators(settings.evaluators) as pool:
            connecting = asyncio.create_task(
                Bus.connect(settings.nats_url, name=SERVICE, inbox_prefix=inbox_prefix(SERVICE))
            )
            await _first(connecting, stop)
            if connecting.done():
                bus = connecting.result()
                try:
                    await _serve(settings, bus, writer, reader, pool, spans, database, stop)
                finally:
                    await bus.close()
            else:
                connecting.cancel()
        spans.shutdown()
    finally:
        lock.release()
    log.info("stopped")


async def _serve(  # noqa: PLR0917 - the parts that are opened around it
    settings: Settings,
    bus: Bus,
    writer: Writer,
    reader: Reader,
    pool: EvaluatorPool,
    spans: telemetry.Telemetry,
    database: Path,
    stop: Stop,
) -> None:
    row = await reader.row("SELECT coalesce(max(id), 0) FROM outbox")
    scheduler = Scheduler(
        settings, bus=bus, writer=writer, reader=reader, pool=pool, last_outbox_id=row[0] if row else 0
    )
    await scheduler.load()
    tracing = Spans(spans)
    await tracing.emit_recent(reader)
    scheduler.watch(bus, tracing)
    await scheduler.reconcile.once()
    answerers = scheduler.answerers(bus, database)

    async def ready() -> Health:
        health = await answerers.queries.health(GetHealth())
        detail = health.detail if bus.connected else "not connected to NATS"
        return Health(service=SERVICE, ready=detail is None, detail=detail, facts=health.facts)

    probes = Probes(
        service=SERVICE,
        host=settings.metrics_host,
        port=settings.metrics_port,
        data_dir=settings.data_dir,
        ready=ready,
    )
    async with probes:
        served = await serve(
            bus,
            name=f"station-{SERVICE}",
            version=VERSION,
            description="Decides and records what runs do.",
            endpoints=endpoints(answerers),
        )
        try:
            await _until_stopped(scheduler.background(), stop)
        finally:
            await served.stop()


async def _until_stopped(work: list[Coroutine[Any, Any, None]], stop: Stop) -> None:
    """Keep everything going. What fails for good ends the process: a new start can mend what is in memory."""
    tasks = [asyncio.create_task(one) for one in work]
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
    await end((*tasks, stopping))
    for task in done - {stopping}:
        task.result()


async def _first(work: asyncio.Task[Any], stop: Stop) -> None:
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()


@contextlib.asynccontextmanager
async def _store(database: Path, stop: Stop) -> AsyncGenerator[tuple[Writer, Reader]]:
    connection = await asyncio.to_thread(open_writer, database)
    writer = Writer(connection, stop.fail)
    reader = await Reader.open(database)
    try:
        yield writer, reader
    finally:
        await reader.close()
        await writer.close()


@contextlib.asynccontextmanager
async def _evaluators(size: int) -> AsyncGenerator[EvaluatorPool]:
    pool = EvaluatorPool(size)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()
