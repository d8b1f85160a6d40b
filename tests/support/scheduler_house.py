"""A scheduler inside the test's process: the real store file, the real broker, its parts at hand, its clock in ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from station.contracts.agents import AgentSummary, AnnounceRunner
from station.contracts.runs import ControlRun, RunView, SignalAccepted, SignalRun, StartRun
from station.contracts.work import (
    Claim,
    ClaimSteps,
    HeldStep,
    ReportResults,
    StepRef,
    StepResult,
    StepTask,
)
from station.contracts.workflows import CreateWorkflow, Workflow
from station.runtime import lifecycle
from station.runtime.bus import Bus
from station.runtime.rpc import RpcContext, Served, serve
from station.scheduler.app import Scheduler
from station.scheduler.endpoints import Answerers, endpoints
from station.scheduler.engine.doctor import examine
from station.scheduler.engine.spans import Spans
from station.scheduler.evaluator.pool import Outcome
from station.scheduler.settings import Settings
from station.scheduler.store.database import open_reader, open_writer
from station.scheduler.store.reader import Reader
from station.scheduler.store.writer import Writer
from tests.support.waiting import eventually

CONTEXT = RpcContext({}, None, "application/msgpack")
RUNNER, BOOT = "runner-1", 1
AGENTS = ("a", "b", "c")


class Clock:
    """A wall clock and a steady one that tests move."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000_000
        self.steady = 1_000

    def now(self) -> int:
        return self.wall

    def steady_now(self) -> int:
        return self.steady

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += round(seconds * 1000)
        self.steady += round(seconds * 1000)

    def set_by(self, seconds: float) -> None:
        """Have somebody set the wall clock."""
        self.wall += round(seconds * 1000)


class Evaluators:
    """Answers conditions when the test says so."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.matched = 0

    async def evaluate(self, expressions: Sequence[str], bindings: Any) -> Outcome:
        self.asked += 1
        await self.may_answer.wait()
        return Outcome(matched=self.matched)


class House:
    """One scheduler; `kill` it and open another one on the same directory."""

    def __init__(self, scheduler: Scheduler, bus: Bus, writer: Writer, directory: Path, evaluators: Evaluators) -> None:
        self.scheduler = scheduler
        self.bus = bus
        self.writer = writer
        self.database = directory / "station.db"
        self.evaluators = evaluators
        self.by: Answerers = scheduler.answerers(bus, self.database)
        self.sound = True
        """Whether the doctor must find nothing in the end."""
        self._tasks: list[asyncio.Task[None]] = []
        self._served: Served | None = None

    def run_background(self) -> None:
        self._tasks = [asyncio.create_task(one) for one in self.scheduler.background()]

    async def serve(self) -> None:
        """Answer on the bus as well."""
        self._served = await serve(
            self.bus, name="station-scheduler", version="0.1.0", description="test", endpoints=endpoints(self.by)
        )

    async def stop(self) -> None:
        """What runs in the background stops; a failure of it is the test's."""
        done = [task for task in self._tasks if task.done()]
        await lifecycle.end(self._tasks)
        if self._served is not None:
            await self._served.stop()
        for task in done:
            task.result()

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Look into the file."""
        with contextlib.closing(open_reader(self.database)) as connection:
            return connection.execute(sql, parameters).fetchall()

    def findings(self) -> list[tuple[str, str]]:
        """What the doctor finds."""
        with contextlib.closing(open_reader(self.database)) as connection:
            return [(found.check, found.detail) for found in examine(connection, 10_000).findings]

    def events(self, run_id: str) -> list[str]:
        return [
            row[0] for row in self.rows("SELECT type FROM workflow_run_events WHERE run_id = ? ORDER BY seq", run_id)
        ]

    def status(self, run_id: str) -> str:
        return self.rows("SELECT status FROM workflow_runs WHERE run_id = ?", run_id)[0][0]

    async def drained(self) -> None:
        """Wait until the broker has everything."""
        await eventually(lambda: not self.rows("SELECT 1 FROM outbox LIMIT 1"))

    # Requests

    async def announce(
        self, *agents: str, runner: str = RUNNER, boot: int = BOOT, environments: Any = ("default",)
    ) -> None:
        summaries = tuple(
            AgentSummary(name=name, environment=place, model="exec", source_file=f"{name}.prompt", digest=name)
            for place in environments
            for name in agents or AGENTS
        )
        announced = AnnounceRunner(runner=runner, boot=boot, environments=tuple(environments), agents=summaries)
        await self.by.steps.announce(announced, CONTEXT)

    async def create(self, *states: dict[str, Any], identity: str = "w", **fields: Any) -> Workflow:
        request = CreateWorkflow(
            source=definition(*states, identity=identity, **fields), content_type="application/json", actor="user:o"
        )
        return await self.by.workflows.create(request, CONTEXT)

    async def start(self, workflow: str = "w", **fields: Any) -> RunView:
        fields.setdefault("actor", "user:alice")
        return _as_sent(await self.by.runs.start(StartRun(workflow_id=workflow, **fields), CONTEXT))

    async def signal(self, run_id: str, name: str = "go", **fields: Any) -> SignalAccepted:
        return await self.by.runs.signal(SignalRun(run_id=run_id, name=name, **fields), CONTEXT)

    async def control(self, verb: str, run_id: str, **fields: Any) -> RunView:
        request = ControlRun(run_id=run_id, actor="user:alice", **fields)
        return _as_sent(await getattr(self.by.runs, verb)(request, CONTEXT))

    # What a runner does

    def open_steps(self, run_id: str) -> list[StepRef]:
        """The agent attempts that can be claimed."""
        found = self.rows(
            "SELECT run_id, step_id, attempt FROM workflow_run_steps"
            " WHERE run_id = ? AND action = 'agent.run' AND status = 'PENDING' ORDER BY entered_seq",
            run_id,
        )
        return [StepRef(run_id=row[0], step_id=row[1], attempt=row[2]) for row in found]

    async def claim(self, *steps: StepRef, runner: str = RUNNER, boot: int = BOOT) -> list[Claim]:
        answer = await self.by.steps.claim(ClaimSteps(runner=runner, boot=boot, steps=steps), CONTEXT)
        return list(answer.claims)

    async def report(
        self,
        step: StepRef,
        token: int | None,
        output: Any = None,
        *,
        runner: str = RUNNER,
        boot: int = BOOT,
        **fields: Any,
    ) -> str:
        result = StepResult(
            run_id=step.run_id, step_id=step.step_id, attempt=step.attempt, token=token or 0, output=output, **fields
        )
        answer = await self.by.steps.report(ReportResults(runner=runner, boot=boot, results=(result,)), CONTEXT)
        return answer.verdicts[0]

    async def work(self, run_id: str, output: Any = None) -> None:
        """Claim and finish everything that is open in a run now."""
        for step in self.open_steps(run_id):
            (claim,) = await self.claim(step)
            assert claim.verdict == "run", claim
            assert await self.report(step, claim.token, output) == "accepted"

    async def tasks(self) -> list[StepTask]:
        """The tasks that lie in the stream, by their place in it."""
        info = await self.bus.js.stream_info("WORKFLOW_TASKS")
        found: list[StepTask] = []
        for seq in range(info.state.first_seq, info.state.last_seq + 1):
            with contextlib.suppress(Exception):
                message = await self.bus.js.get_msg("WORKFLOW_TASKS", seq)
                if message.subject is not None and message.subject.startswith("wf.task.step."):
                    found.append(msgspec.msgpack.decode(message.data or b"", type=StepTask))
        return found


def held(step: StepRef, token: int | None) -> HeldStep:
    return HeldStep(run_id=step.run_id, step_id=step.step_id, attempt=step.attempt, token=token or 0)


def definition(*states: dict[str, Any], identity: str = "w", **fields: Any) -> bytes:
    """A workflow as an author writes it, in JSON."""
    return msgspec.json.encode({"id": identity, "start": states[0]["name"], "states": list(states), **fields})


def agent(name: str, way_on: str | None = None, **fields: Any) -> dict[str, Any]:
    """A state that has the agent ``a`` work."""
    return action(name, "agent.run", {"agent": "a", "task": "do"}, way_on, **fields)


def action(name: str, what: str, given: dict[str, Any], way_on: str | None = None, **fields: Any) -> dict[str, Any]:
    way = {"end": True} if way_on is None else {"next": way_on}
    return {"name": name, "type": "operation", "action": what, "input": given, **way, **fields}


def waiting(name: str, way_on: str | None = None, **given: Any) -> dict[str, Any]:
    """A state that waits for the signal ``go``."""
    return action(name, "signal.wait", {"signal": "go", **given}, way_on)


def timer(name: str, seconds: float, way_on: str | None = None) -> dict[str, Any]:
    return action(name, "timer.wait", {"seconds": seconds}, way_on)


def approval(name: str, way_on: str | None = None, **given: Any) -> dict[str, Any]:
    return action(name, "human.approval", {"message": "go on?", **given}, way_on)


def starlark(name: str, then: str, otherwise: str) -> dict[str, Any]:
    """A switch whose condition only the evaluators can answer."""
    condition = "sorted([x for x in input.keys()])[0] == 'n'"
    return {"name": name, "type": "switch", "conditions": [{"if": condition, "next": then}], "defaultNext": otherwise}


@contextlib.asynccontextmanager
async def house(
    directory: Path,
    url: str,
    *,
    clock: Clock | None = None,
    background: bool = True,
    environments: Path | None = None,
    spans: Any = None,
    **settings: Any,
) -> AsyncGenerator[House]:
    """Open a scheduler on a directory; in the end its store must be sound."""
    chosen = Settings(
        data_dir=directory, environments_dir=environments or directory / "environments", nats_url=url, **settings
    )
    broken: list[str] = []
    async with contextlib.AsyncExitStack() as open_parts:  # one that is left open keeps the process from ending
        writer = Writer(open_writer(directory / "station.db"), broken.append)
        open_parts.push_async_callback(writer.close)
        reader = await Reader.open(directory / "station.db")
        open_parts.push_async_callback(reader.close)
        bus = await Bus.connect(url, name="scheduler")
        open_parts.push_async_callback(bus.close)
        evaluators = Evaluators()
        row = await reader.row("SELECT coalesce(max(id), 0) FROM outbox")
        pool: Any = evaluators
        clocks: dict[str, Callable[[], int]] = {} if clock is None else {"now": clock.now, "steady": clock.steady_now}
        scheduler = Scheduler(
            chosen, bus=bus, writer=writer, reader=reader, pool=pool, last_outbox_id=row[0] if row else 0, **clocks
        )
        await scheduler.load()
        scheduler.watch(bus, Spans(spans or _NOBODY))
        found = House(scheduler, bus, writer, directory, evaluators)
        open_parts.push_async_callback(found.stop)
        if background:
            await scheduler.reconcile.once()
            found.run_background()
        yield found
    if found.sound:
        assert found.findings() == []
        assert broken == []


def _as_sent(view: RunView) -> RunView:
    """What goes over the bus: a view in memory moves on with its run."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(view), type=RunView)


class _Nobody:
    enabled = False


_NOBODY: Any = _Nobody()
