"""A runner as agent-runner is one: claim, execute, spool, report, acknowledge; it may die anywhere on that way."""

from __future__ import annotations

from typing import Any, NamedTuple

from station.contracts.errors import ErrorType, StepError
from station.contracts.work import (
    Assignment,
    Claim,
    ClaimSteps,
    Heartbeat,
    HeldStep,
    ReportAnswer,
    ReportResults,
    StepRef,
    StepResult,
)
from tests.simulation.broker import Broker, Message
from tests.simulation.scheduler import LEASE_MS, SimulatedScheduler
from tests.simulation.world import World

Key = tuple[str, str, int]
PLACES = 4
_ERRORS = (ErrorType.AGENT_ERROR, ErrorType.TOOL_ERROR, ErrorType.BUDGET_EXCEEDED)


class Held(NamedTuple):
    """An attempt that has been claimed."""

    claim: Claim
    message: Message
    boot: int


class Ledger:
    """What agents have really done, by run, step, attempt and token: nothing else may be recorded as a success."""

    def __init__(self) -> None:
        self.done: dict[tuple[str, str, int, int], Any] = {}


class SimulatedRunner:
    """One runner through all its starts; only the spool and the count of starts outlive a crash."""

    def __init__(self, name: str, world: World, broker: Broker, scheduler: SimulatedScheduler, ledger: Ledger) -> None:
        self.name = name
        self._world, self._broker, self._scheduler, self._ledger = world, broker, scheduler, ledger
        self.spool: dict[tuple[str, str, int, int], StepResult] = {}
        self.held: dict[Key, Held] = {}
        self._claiming: set[Key] = set()
        self._boot = 0
        self.up = False
        self._dead = False
        self.start()

    # Life and death

    def start(self) -> None:
        """Report what the spool holds, then announce, then work."""
        if self._dead:
            return
        self._boot += 1
        self.up = True
        self.held.clear()
        self._claiming.clear()
        for result in self.spool.values():
            self._report(result, None)
        boot = self._boot
        self._world.ask(
            lambda: self._scheduler.announce(self.name, boot), lambda _: self._work(boot), again_while=self._alive(boot)
        )

    def crash(self) -> None:
        """Lose everything but the spool, and come back after a while."""
        if self.up:
            self.up = False
            self._world.after(self._world.random.randrange(100, 40_000), self.start)

    def die(self) -> None:
        """Never come back, the disk included."""
        self._dead, self.up = True, False

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do or to report."""
        return self.up and not self.held and not self.spool and not self._claiming

    def _alive(self, boot: int) -> Any:
        return lambda: self.up and self._boot == boot

    def _work(self, boot: int) -> None:
        alive = self._alive(boot)
        if alive():
            self._world.every(500, self._fetch, alive)
            self._world.every(LEASE_MS // 3, self._heartbeat, alive)

    # Work

    def _fetch(self) -> None:
        for message in self._broker.fetch(PLACES - len(self.held)):
            held = self.held.get(message.key)
            if held is not None:
                self._broker.delay(message, 30_000 if held.message is message else 1_000)
            elif message.key not in self._claiming:
                self._claim(message)

    def _claim(self, message: Message) -> None:
        boot = self._boot
        run_id, step_id, attempt = message.key
        ref = StepRef(run_id=run_id, step_id=step_id, attempt=attempt)
        request = ClaimSteps(runner=self.name, boot=boot, steps=(ref,))
        self._claiming.add(message.key)
        self._world.ask(
            lambda: self._scheduler.handle(self._scheduler.requests.claim(request, None)),  # pyright: ignore[reportArgumentType]
            lambda answer: self._claimed(message, boot, answer.claims[0]),
            again_while=self._alive(boot),
        )

    def _claimed(self, message: Message, boot: int, claim: Claim) -> None:
        if not self._alive(boot)():
            return
        self._claiming.discard(message.key)
        match claim.verdict:
            case "busy":
                self._broker.delay(message, 1_000)
            case "skip":
                self._broker.ack(message)
            case "run":
                held = self.held[message.key] = Held(claim, message, boot)
                self._execute(held)

    def _execute(self, held: Held) -> None:
        duration = self._world.random.choice([5, 500, 2_000, 9_000, 20_000])
        limit = held.message.task.timeout_seconds
        if limit is not None and duration > limit * 1000:
            self._world.after(round(limit * 1000), lambda: self._finish(held, None, ErrorType.TIMEOUT))
            return
        failed = self._world.random.random() < (0.05 if self._world.calm else 0.2)
        error = self._world.random.choice(_ERRORS) if failed else None
        output = self._world.random.choice([1, "text", None, {"flag": False}, {"n": 5, "result": [1, 2]}])
        self._world.after(duration, lambda: self._finish(held, output, error))

    def _finish(self, held: Held, output: Any, error: ErrorType | None) -> None:
        if not self._alive(held.boot)() or self.held.get(held.message.key) is not held:
            return
        run_id, step_id, attempt = held.message.key
        token = held.claim.token or 0
        if error is None:
            self._ledger.done[run_id, step_id, attempt, token] = output
        if self._world.chance(0.03):
            self.crash()
            return
        failure = None if error is None else StepError(type=error, message="drawn")
        result = StepResult(run_id=run_id, step_id=step_id, attempt=attempt, token=token, output=output, error=failure)
        self.spool[run_id, step_id, attempt, token] = result
        if self._world.chance(0.03):
            self.crash()
            return
        self._report(result, held)

    def _report(self, result: StepResult, held: Held | None) -> None:
        boot = self._boot
        wants = 1 if held is not None and self._world.random.random() < 0.7 else 0
        request = ReportResults(runner=self.name, boot=boot, results=(result,), wants=wants)

        def answered(answer: ReportAnswer) -> None:
            if not self._alive(boot)():
                return
            for assigned in answer.assigned:
                self._assigned(assigned)
            if held is not None:
                self._broker.ack(held.message)
                self._let_go(held)
            self.spool.pop((result.run_id, result.step_id, result.attempt, result.token), None)

        self._world.ask(
            lambda: self._scheduler.handle(self._scheduler.requests.report(request, None)),  # pyright: ignore[reportArgumentType]
            answered,
            again_while=self._alive(boot),
        )

    def _assigned(self, assigned: Assignment) -> None:
        message = Message("assigned, the stream knows nothing of it", assigned.task, 0)
        if message.key not in self.held:
            claim = Claim(verdict="run", token=assigned.token, agent_run_id=assigned.agent_run_id)
            held = self.held[message.key] = Held(claim, message, self._boot)
            self._execute(held)

    # Being told to stop

    def _heartbeat(self) -> None:
        held = tuple(_reference(one) for one in self.held.values())
        if not held:
            return
        request, boot = Heartbeat(runner=self.name, boot=self._boot, steps=held), self._boot

        def answered(answer: Any) -> None:
            if self._alive(boot)():
                for lost in answer.lost:
                    self.stop(lost)

        self._world.ask(
            lambda: self._scheduler.handle(self._scheduler.requests.heartbeat(request, None)),  # pyright: ignore[reportArgumentType]
            answered,
        )

    def stop(self, lost: HeldStep) -> None:
        """Interrupt an attempt that is no longer ours, unless its result is there already."""
        key = (lost.run_id, lost.step_id, lost.attempt)
        held = self.held.get(key)
        if held is None or held.claim.token != lost.token or (*key, lost.token) in self.spool:
            return
        self._let_go(held)
        self._broker.delay(held.message, 1_000)
        result = StepResult(
            run_id=lost.run_id, step_id=lost.step_id, attempt=lost.attempt, token=lost.token, cancelled=True
        )
        self._report(result, None)

    def _let_go(self, held: Held) -> None:
        if self.held.get(held.message.key) is held:
            del self.held[held.message.key]


def _reference(held: Held) -> HeldStep:
    run_id, step_id, attempt = held.message.key
    return HeldStep(run_id=run_id, step_id=step_id, attempt=attempt, token=held.claim.token or 0)
