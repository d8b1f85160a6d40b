"""``python -m station.agent_runner.alone``: runs one agent, with no scheduler and no workflow, and says what it does.

The shapes of stdin and stdout are those of `station.contracts.alone`. The work ends when stdin does.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import PurePath
from time import monotonic

import msgspec

from station.agent_runner.agent import Agent
from station.agent_runner.backends.registry import Backends, all_backends
from station.agent_runner.catalog import Catalog, load_catalog
from station.agent_runner.executors.agent_run import AgentRun
from station.agent_runner.executors.protocol import Outcome
from station.agent_runner.held import Held
from station.agent_runner.loop.equipment import Equipment
from station.agent_runner.loop.prices import Prices
from station.agent_runner.mcp.servers import McpServers
from station.agent_runner.progress import Broadcast
from station.agent_runner.redaction import Redactor, secrets_of
from station.agent_runner.settings import Settings, providers_of, read_settings
from station.agent_runner.versions import no_such_agent
from station.contracts.alone import AloneLine, AloneOutcome, RunAlone
from station.contracts.problems import Problem
from station.contracts.progress import AgentProgress
from station.contracts.work import Claim, StepTask
from station.runtime import lifecycle, logging
from station.runtime.broker import inbox_prefix
from station.runtime.bus import Bus
from station.runtime.errors import StationError
from station.runtime.ids import new_id
from station.runtime.lifecycle import Stop, end
from station.runtime.settings import masked_url

SERVICE = "agent-runner"
NATS_URL = "STATION_NATS_URL"
CONNECT_SECONDS = 5.0
MOST_INPUT = 64 * 1024 * 1024
FAILED = 1


class Lines:
    """Writes to stdout, a line at a time."""

    def send(self, subject: str, body: bytes) -> None:
        """Progress, as it would go on the bus."""
        self.write(AloneLine(progress=msgspec.json.decode(body, type=AgentProgress)))

    def write(self, line: AloneLine) -> None:
        """One line, at once; who has gone is told nothing."""
        try:
            sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Loaded:
    """The agents as they are in their folder now: a run by itself is bound to no version."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def find(self, environment: str, name: str, digest: str | None) -> Agent:
        """Give the agent. Raises AttemptFailed when there is none."""
        agent = self._catalog.find(environment, name)
        if agent is None:
            raise no_such_agent(self._catalog, environment, name)
        return agent


async def run(settings: Settings, stop: Stop) -> int:
    """Do what stdin asks for; the exit code."""
    stdin = await _stdin()
    asked = msgspec.json.decode(await stdin.readline(), type=RunAlone)
    redactor = Redactor(secrets_of(settings))
    logging.strike_out(redactor.text)
    lines = Lines()
    work = asyncio.create_task(_outcome(settings, asked, redactor, lines))
    ended = [asyncio.create_task(stop.wait()), asyncio.create_task(stdin.read(1))]
    await asyncio.wait({work, *ended}, return_when=asyncio.FIRST_COMPLETED)
    await end([work, *ended])
    outcome = AloneOutcome(cancelled=True) if work.cancelled() else work.result()
    lines.write(AloneLine(outcome=outcome))
    return FAILED if outcome.cancelled or outcome.error is not None else 0


async def _outcome(settings: Settings, asked: RunAlone, redactor: Redactor, lines: Lines) -> AloneOutcome:
    servers = McpServers(settings.environments_dir, redactor=redactor)
    bus: Bus | None = None
    backends = _backends(settings, redactor, servers, None)
    try:
        catalog = await load_catalog(settings.environments_dir, backends, servers)
        if NATS_URL in os.environ and _uses_nats(catalog, asked.environment):
            bus = await _connected(settings.nats_url)
            backends = _backends(settings, redactor, servers, bus)
            catalog = await load_catalog(settings.environments_dir, backends, servers)
        held = _held(asked)
        executor = AgentRun(
            Loaded(catalog),
            max_output_bytes=settings.max_output_bytes,
            progress=lambda held, agent, quiet: Broadcast(lines, redactor, held, agent, quiet=quiet),
            redactor=redactor,
        )
        began = monotonic()
        outcome = await executor.execute(held)
        return _told(outcome, held, asked, catalog, round((monotonic() - began) * 1000))
    finally:
        await backends.close()
        await servers.close()
        if bus is not None:
            await bus.close()


def _backends(settings: Settings, redactor: Redactor, servers: McpServers, bus: Bus | None) -> Backends:
    equipment = Equipment(prices=Prices(settings.prices_file), servers=servers)
    providers = providers_of(settings)
    return all_backends(None, redactor.learn, bus=bus, servers=servers, providers=providers, equipment=equipment)


def _told(outcome: Outcome, held: Held, asked: RunAlone, catalog: Catalog, duration_ms: int) -> AloneOutcome:
    return AloneOutcome(
        output=outcome.output,
        error=outcome.error,
        duration_ms=duration_ms,
        usage=held.meter.usage,
        agent=held.agent,
        problems=_problems(catalog, asked),
    )


def _problems(catalog: Catalog, asked: RunAlone) -> tuple[Problem, ...]:
    agent = catalog.find(asked.environment, asked.agent)
    if agent is not None:
        return tuple(problem for problem in catalog.problems if problem.path == agent.summary.source_file)
    own = [problem for problem in catalog.problems if PurePath(problem.path).parts[:1] in {(), (asked.environment,)}]
    named = [problem for problem in own if PurePath(problem.path).stem == asked.agent]
    return tuple(named or own)


def _held(asked: RunAlone) -> Held:
    run_id, step_id = new_id("alone"), new_id("step")
    task = StepTask(
        run_id=run_id,
        step_id=step_id,
        attempt=1,
        workflow_id="alone",
        state_name=asked.agent,
        environment=asked.environment,
        agent=asked.agent,
        task=asked.task,
        variables=asked.variables,
        timeout_seconds=asked.timeout_seconds,
        idempotency_key=f"{run_id}:{step_id}:1",
    )
    return Held(task, Claim(verdict="run", token=1), None, None)


def _uses_nats(catalog: Catalog, environment: str) -> bool:
    return any(
        agent.summary.model.startswith("nats/") for agent in catalog.agents.values() if agent.environment == environment
    )


async def _connected(url: str) -> Bus:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await Bus.connect(url, name=f"{SERVICE}-alone", inbox_prefix=inbox_prefix(SERVICE))
    except TimeoutError as error:
        words = f"no broker takes our connection at {masked_url(url)} within {CONNECT_SECONDS:g} s; correct {NATS_URL}"
        raise StationError(words) from error


async def _stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=MOST_INPUT)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def main() -> None:
    """Run the agent; the exit code says how it ended: 0 it answered, 1 it did not, 2 a setting is wrong."""
    codes: list[int] = []

    async def work(stop: Stop) -> None:
        logging.setup(SERVICE, "console", "warning")
        codes.append(await run(read_settings(os.environ), stop))

    sys.exit(lifecycle.run(work) or codes[0])


if __name__ == "__main__":
    main()
