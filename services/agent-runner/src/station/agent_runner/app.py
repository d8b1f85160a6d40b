"""Wires the runner together, and says in which order it starts and stops."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from pathlib import Path
from typing import TypeVar

from station.agent_runner.announcer import Announcer
from station.agent_runner.attempts import Attempts
from station.agent_runner.backends.registry import all_backends
from station.agent_runner.cancel import listen_for_cancels
from station.agent_runner.executors.registry import all_executors
from station.agent_runner.heartbeat import Heartbeats
from station.agent_runner.held import HeldSteps
from station.agent_runner.loop.equipment import Equipment
from station.agent_runner.loop.prices import Prices
from station.agent_runner.loop.spans import Spans
from station.agent_runner.mcp.servers import McpServers
from station.agent_runner.progress import Broadcaster
from station.agent_runner.record import Recorder
from station.agent_runner.redaction import Redactor, secrets_of
from station.agent_runner.reporter import Reporter
from station.agent_runner.scheduler import Scheduler
from station.agent_runner.settings import Settings, providers_of
from station.agent_runner.shutdown import wind_down
from station.agent_runner.spending import Spending
from station.agent_runner.spool import Spool, SpoolFull
from station.agent_runner.versions import Versions
from station.agent_runner.worker import Worker
from station.contracts.health import Health
from station.contracts.work import StepResult
from station.runtime import telemetry
from station.runtime.broker import inbox_prefix
from station.runtime.bus import Bus
from station.runtime.health import Probes
from station.runtime.lifecycle import Stop, end
from station.runtime.logging import get_logger, strike_out
from station.runtime.rpc import serve
from station.runtime.settings import effective

log = get_logger("app")
T = TypeVar("T")
SERVICE = "agent-runner"
VERSION = "0.1.0"
DEFAULT_SPOOL = "default"
REFUSED_SECONDS = 1.0
FULL_SECONDS = 1.0


class Runner:
    """One agent-runner: its parts, made for one spool directory and one connection."""

    def __init__(
        self, settings: Settings, spool: Spool, bus: Bus, spans: telemetry.Telemetry, redactor: Redactor
    ) -> None:
        self.servers = McpServers(settings.environments_dir, redactor=redactor)
        self.backends = all_backends(
            spool.folder / "programs",
            redactor.learn,
            bus=bus,
            servers=self.servers,
            providers=providers_of(settings),
            equipment=Equipment(
                prices=Prices(settings.prices_file),
                spans=Spans(spans, redactor.value if settings.trace_content else None),
                servers=self.servers,
            ),
        )
        self.settings = settings
        self.spool = spool
        self.bus = bus
        self.redactor = redactor
        self.broadcaster = Broadcaster(bus, redactor)
        self.held = HeldSteps()
        self.scheduler = Scheduler(bus)
        self.reporter = Reporter(self.scheduler, spool.identity)
        self.announcer = Announcer(
            settings.environments_dir, self.backends, self.scheduler, spool.identity, self.servers
        )
        self.heartbeats = Heartbeats(self.scheduler, spool.identity, self.held)
        self.attempts = Attempts(
            held=self.held,
            executors=all_executors(
                Versions(settings.environments_dir, lambda: self.announcer.catalog, self.backends, self.scheduler),
                max_output_bytes=settings.max_output_bytes,
                spend=Spending(self.scheduler, spool.identity).ask,
                progress=self.broadcaster.voice,
                redactor=redactor,
            ),
            spool=spool,
            reporter=self.reporter,
            recorder=Recorder(spans, redactor),
        )
        self.worker = Worker(
            bus=bus,
            scheduler=self.scheduler,
            identity=spool.identity,
            held=self.held,
            heartbeats=self.heartbeats,
            attempts=self.attempts,
            concurrency=settings.runner_concurrency,
        )
        self.reporter.takes_more = self.worker.takes_more
        self.reporter.on_assigned = self.worker.accept_assigned
        self.started = False

    async def start(self) -> bool:
        """Get rid of the past, then say that we are here: results first, for the announcement voids their claims."""
        self.backends.clean_up()
        await self.announcer.load()
        await asyncio.gather(*(self._report_again(result) for result in self.spool.load()))
        while not await self.announcer.announce():  # noqa: ASYNC110 - the scheduler does not tell of a change of mind
            await asyncio.sleep(REFUSED_SECONDS)  # unannounced, claims of our last start would still stand
        await listen_for_cancels(self.bus, self.held)
        self.started = True
        return True

    async def run(self, stop: Stop) -> None:
        """Work until told to stop, then wind down."""
        async with _in_background(self.heartbeats.run(), self.announcer.run()):
            await self.worker.run(stop)
            await wind_down(self.held, self.scheduler, self.spool.identity, self.settings.shutdown_seconds)
            await self.broadcaster.close()

    async def health(self) -> Health:
        """Ready once announced, while the bus and the scheduler answer."""
        detail = None
        if not self.started:
            detail = "not announced to the scheduler yet"
        elif not self.bus.connected:
            detail = "not connected to NATS"
        elif not self.scheduler.answering:
            detail = "the scheduler does not answer"
        else:
            detail = await self.spool.trouble()
        catalog = self.announcer.catalog
        facts = {"held": len(self.held), "agents": len(catalog.agents), "problems": len(catalog.problems)}
        return Health(service=SERVICE, ready=detail is None, detail=detail, facts=facts)

    async def _report_again(self, result: StepResult) -> None:
        verdict = await self.reporter.report(result)
        log.info("result_reported_again", run_id=result.run_id, step_id=result.step_id, verdict=verdict)
        if verdict == "refused":
            self.spool.set_aside(result)
        else:
            self.spool.drop(result)


async def run(settings: Settings, stop: Stop) -> None:
    """The whole life of the process."""
    redactor = Redactor(secrets_of(settings))
    strike_out(redactor.text)
    log.info("starting", **effective(settings))
    spans = telemetry.setup(SERVICE, settings.otlp_endpoint)
    folder = settings.data_dir / SERVICE / (settings.runner_id or DEFAULT_SPOOL)
    spool = await _unless(stop, _opened(folder, settings.runner_id))
    if spool is None:
        return
    with contextlib.closing(spool):
        log.info("spool_opened", folder=str(folder), runner=spool.identity.runner, boot=spool.identity.boot)
        bus = await _unless(stop, Bus.connect(settings.nats_url, name=SERVICE, inbox_prefix=inbox_prefix(SERVICE)))
        if bus is not None:
            try:
                await _serve(Runner(settings, spool, bus, spans, redactor), stop)
            finally:
                await bus.close()
                spans.shutdown()
    log.info("stopped")


async def _opened(folder: Path, runner_id: str | None) -> Spool:
    """The spool, however long it takes until there is room for it: ending would only mean to be started again.

    Raises SpoolError.
    """
    told = False
    while True:
        try:
            return Spool.open(folder, runner_id)
        except SpoolFull as full:
            if not told:
                log.error("spool_full", detail=str(full))
                told = True
            await asyncio.sleep(FULL_SECONDS)


async def _serve(runner: Runner, stop: Stop) -> None:
    settings = runner.settings
    probes = Probes(
        service=SERVICE,
        host=settings.metrics_host,
        port=settings.metrics_port,
        data_dir=settings.data_dir,
        ready=runner.health,
    )
    async with probes:
        served = await serve(
            runner.bus, name=f"station-{SERVICE}", version=VERSION, description="Runs the agents.", endpoints=()
        )
        try:
            if await _unless(stop, runner.start()):
                await runner.run(stop)
        finally:
            await runner.backends.close()
            await runner.servers.close()
            await served.stop()


async def _unless(stop: Stop, work: Coroutine[None, None, T]) -> T | None:
    """Do something that may take for ever; None when the process was told to stop before it was done."""
    doing, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if doing.done():
        stopping.cancel()
        return doing.result()
    await end([doing])
    return None


@contextlib.asynccontextmanager
async def _in_background(*work: Coroutine[None, None, None]) -> AsyncGenerator[None]:
    """Keep these going meanwhile. If one fails, so does the process: it would be deaf or silent without it."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
        yield
        await end(tasks)
