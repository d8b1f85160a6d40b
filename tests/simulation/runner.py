"""A runner as agent-runner is one: claim, execute, spool, report, acknowledge; it may die at any await on that way."""

from __future__ import annotations

import asyncio
from typing import Any

from station.contracts.agents import AgentSummary, AnnounceRunner
from station.contracts.errors import ErrorType, StepError
from station.contracts.work import (
    Assignment,
    Claim,
    ClaimSteps,
    Heartbeat,
    HeldStep,
    ReportResults,
    StepRef,
    StepResult,
)
from tests.simulation.broker import Broker, Message
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.scheduler import LEASE_MS, refused
from tests.simulation.world import World

Key = tuple[str, str, int]
Spooled = tuple[str, str, int, int]
PLACES = 4
AGENTS = (AgentSummary(name="x", environment="default", model="scripted", source_file="x.prompt", digest="x"),)
_ERRORS = (ErrorType.AGENT_ERROR, ErrorType.TOOL_ERROR, ErrorType.BUDGET_EXCEEDED)
_NOBODY: Any = None


class Held:
    """An attempt that has been claimed."""

    def __init__(self, claim: Claim, message: Message) -> None:
        self.claim = claim
        self.message = message
        self.executing: asyncio.Task[None] | None = None

    @property
    def reference(self) -> HeldStep:
        run_id, step_id, attempt = self.message.key
        return HeldStep(run_id=run_id, step_id=step_id, attempt=attempt, token=self.claim.token or 0)


class Ledger:
    """What agents have really done, by run, step, attempt and token: nothing else may be recorded as a success."""

    def __init__(self) -> None:
        self.done: dict[Spooled, list[Any]] = {}
        """More than one output: an answer that gave the attempt came so late that it had been done meanwhile."""


class SimulatedRunner:
    """One runner through all its starts; only the spool and the count of starts outlive a crash."""

    def __init__(self, name: str, world: World, broker: Broker, network: Network, ledger: Ledger) -> None:
        self.name = name
        self._world, self._broker, self._network, self._ledger = world, broker, network, ledger
        self.spool: dict[Spooled, StepResult] = {}
        self.held: dict[Key, Held] = {}
        self._claiming: set[Key] = set()
        self._boot = 0
        self._gone = False
        self.up = False
        self.start()

    # Life and death

    def start(self) -> None:
        """Report what the spool holds, then announce, then work."""
        if self._gone:
            return
        self._boot += 1
        self.up = True
        self.held.clear()
        self._claiming.clear()
        self.process = Process(self._world, "runner", self._died)
        self.process.spawn(self._live())

    def _died(self) -> None:
        self.up = False
        self._world.troubles["runner restarted"] += not self._gone
        self._world.after(self._world.random.randrange(100, 8_000), self.start)

    def leave(self) -> None:
        """Never come back, the disk included."""
        self._gone = True
        self._world.troubles["runner gone"] += 1
        self.process.die()
        self.spool.clear()

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do or to report."""
        return self._gone or (self.up and not self.held and not self.spool and not self._claiming)

    async def _live(self) -> None:
        for result in list(self.spool.values()):
            self.process.spawn(self._report(result, None))
        announcement = AnnounceRunner(runner=self.name, boot=self._boot, environments=("default",), agents=AGENTS)
        await self._network.ask(self.process, lambda life: life.steps.announce(announcement, _NOBODY))
        process = self.process
        self._world.every(700, self._fetch, lambda: not process.dead)
        self._world.every(LEASE_MS // 3, self._heartbeat, lambda: not process.dead)

    # Work

    def _fetch(self) -> None:
        if self.process.frozen:
            return
        for message in self._broker.fetch(PLACES - len(self.held)):
            held = self.held.get(message.key)
            if held is not None:
                self._broker.delay(message, 30_000 if held.message is message else 1_000)
            elif message.key not in self._claiming:
                self._claiming.add(message.key)
                if self._world.chance(0.08, "fuse"):
                    self.process.die_within(15)
                self.process.spawn(self._work(message))

    async def _work(self, message: Message) -> None:
        run_id, step_id, attempt = message.key
        ref = StepRef(run_id=run_id, step_id=step_id, attempt=attempt)
        request = ClaimSteps(runner=self.name, boot=self._boot, steps=(ref,))
        answer = await self._network.ask(self.process, lambda life: life.steps.claim(request, _NOBODY))
        self._claiming.discard(message.key)
        if refused(answer):
            return
        claim = answer.claims[0]
        match claim.verdict:
            case "busy":
                self._broker.delay(message, 1_000)
            case "skip":
                await asyncio.sleep(0)
                self._broker.ack(message)
            case "run" if message.key not in self.held:
                await self._carry_out(Held(claim, message))
            case _:
                pass

    async def _carry_out(self, held: Held) -> None:
        self.held[held.message.key] = held
        held.executing = asyncio.current_task()
        if self._world.chance(0.08, "runner frozen"):  # long enough for others to do what it holds
            self.process.freeze(self._world.random.randrange(LEASE_MS, 3 * LEASE_MS))
        try:
            output, error = await self._execute(held)
        except asyncio.CancelledError:
            held.executing = None  # told once is enough
            self._broker.delay(held.message, 1_000)
            await self._report(_result(held, cancelled=True), None)
            return
        held.executing = None
        await asyncio.sleep(0)
        result = _result(held, output=output, error=error)
        self.spool[_place(result)] = result
        await asyncio.sleep(0)
        await self._report(result, held)

    async def _execute(self, held: Held) -> tuple[Any, StepError | None]:
        """Be an agent: some time, some output, some failures. Raises CancelledError if it is told to stop."""
        random = self._world.random
        duration, limit = random.choice([5, 500, 2_000, 9_000, 20_000]), held.message.task.timeout_seconds
        if limit is not None and duration > limit * 1000:
            await asyncio.sleep(limit)
            return None, StepError(type=ErrorType.TIMEOUT, message="drawn")
        failed = random.random() < (0.05 if self._world.calm else 0.2)
        error = random.choice(_ERRORS) if failed else None
        output = random.choice([1, "text", None, {"flag": False}, {"n": 5, "result": [1, 2]}])
        await asyncio.sleep(duration / 1000)
        if error is not None:
            return None, StepError(type=error, message="drawn")
        self._ledger.done.setdefault(_place(_result(held)), []).append(output)
        return output, None

    async def _report(self, result: StepResult, held: Held | None) -> None:
        wants = 1 if held is not None and self._world.random.random() < 0.7 else 0
        request = ReportResults(runner=self.name, boot=self._boot, results=(result,), wants=wants)
        answer = await self._network.ask(self.process, lambda life: life.steps.report(request, _NOBODY))
        for assigned in () if refused(answer) else answer.assigned:
            self._assigned(assigned)
        await asyncio.sleep(0)
        if held is not None:
            self._broker.ack(held.message)
        await asyncio.sleep(0)
        key = (result.run_id, result.step_id, result.attempt)
        here = self.held.get(key)
        if here is not None and here.claim.token == result.token:
            del self.held[key]
        self.spool.pop(_place(result), None)

    def _assigned(self, assigned: Assignment) -> None:
        message = Message("assigned, the stream knows nothing of it", assigned.task, 0)
        if message.key not in self.held:
            self._world.troubles["assigned with an answer"] += 1
            claim = Claim(verdict="run", token=assigned.token, agent_run_id=assigned.agent_run_id)
            self.process.spawn(self._carry_out(Held(claim, message)))

    # Being told to stop

    def _heartbeat(self) -> None:
        held = tuple(one.reference for one in self.held.values())
        if held and not self.process.frozen:
            request = Heartbeat(runner=self.name, boot=self._boot, steps=held)
            self.process.spawn(self._beat(request))

    async def _beat(self, request: Heartbeat) -> None:
        answer = await self._network.ask(self.process, lambda life: life.steps.heartbeat(request, _NOBODY), tries=1)
        for lost in answer.lost if answer is not None else ():
            self.stop(lost)

    def stop(self, lost: HeldStep) -> None:
        """Interrupt an attempt that is no longer ours, unless its result is there already."""
        held = self.held.get((lost.run_id, lost.step_id, lost.attempt))
        if held is not None and held.claim.token == lost.token and held.executing is not None:
            self._world.troubles["told to stop"] += 1
            held.executing.cancel()


def _result(held: Held, **outcome: Any) -> StepResult:
    run_id, step_id, attempt = held.message.key
    return StepResult(run_id=run_id, step_id=step_id, attempt=attempt, token=held.claim.token or 0, **outcome)


def _place(result: StepResult) -> Spooled:
    return result.run_id, result.step_id, result.attempt, result.token
