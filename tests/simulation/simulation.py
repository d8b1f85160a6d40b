"""One simulation: a seed decides the workflows, the faults and what people do; then all is calm, and runs must end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from station.contracts.events import StepStarted, StepSucceeded
from station.core import messages
from station.core.definition import to_canonical
from station.core.run import Run, Step
from station.scheduler.engine.chain import GENESIS, link
from station.scheduler.engine.loading import event_of
from tests.simulation.broker import Broker
from tests.simulation.runner import Ledger, SimulatedRunner
from tests.simulation.scheduler import SimulatedScheduler
from tests.simulation.store import Store
from tests.simulation.workflows import FIXED
from tests.simulation.world import START, Away, World
from tests.support.driven_run import loaded
from tests.support.random_definitions import GIVEN, random_definition
from tests.support.reference_model import check_against_model

RUNS = 4
STORMY_MS = 60_000
PATIENCE_MS = 3_600_000
"""How long everything may take once all is calm: sixty states at most, timers and pauses between resendings."""


class Simulation:
    """A few runs, two runners and a third that dies for good, one scheduler at a time."""

    def __init__(self, seed: int, loop: asyncio.AbstractEventLoop) -> None:
        self.world = World(seed)
        self.store = Store(loop)
        self.broker = Broker(self.world)
        self.scheduler = SimulatedScheduler(self.world, loop, self.store, self.broker)
        self.ledger = Ledger()
        self.runners = [
            SimulatedRunner(name, self.world, self.broker, self.scheduler, self.ledger) for name in ("r1", "r2")
        ]
        self.runs: list[str] = []
        self._definitions: dict[str, dict[str, Any]] = {}
        self.ended: dict[str, Run] = {}
        self._numbers = 0
        random = self.world.random
        doomed = SimulatedRunner("r3", self.world, self.broker, self.scheduler, self.ledger)
        self.world.after(random.randrange(STORMY_MS), doomed.die)
        for index in range(RUNS):
            drawn = random.random() < 0.6
            definition = random_definition(random) if drawn else random.choice(FIXED)
            definition = loaded({**definition, "id": f"w{index}"})
            self.store.add_definition(definition)
            deadline = START + 500_000 if random.random() < 0.2 else None
            self.runs.append(f"run_{index}")
            self._definitions[f"run_{index}"] = to_canonical(definition)
            self.scheduler.create(f"run_{index}", definition.id, GIVEN, deadline)

    def play(self) -> None:
        """A storm, then calm, until everything is at rest."""
        self.world.every(1_500, self._strike, lambda: not self.world.calm)
        self.world.every(1_000, self._people)
        self.world.every(200, self._control)
        self.world.run(START + STORMY_MS)
        self.world.calm = True
        self.world.run(self.world.now + PATIENCE_MS, self._at_rest)
        assert self._at_rest(), self._what_is_left()

    def check(self) -> None:
        """The invariants of the architecture, on what is stored at the end."""
        for run_id in self.runs:
            run = self.store.check(run_id)
            assert run.ended is not None
            check_against_model(self._definitions[run_id], run, map(event_of, self.store.events(run_id)))
            self._check_chain(run_id)
            self._check_successes(run_id)

    def _strike(self) -> None:
        random = self.world.random
        match random.choice(["scheduler", "runner", "runner", "broker", "network", *[""] * 8]):
            case "scheduler":
                self.scheduler.crash()
            case "runner":
                random.choice(self.runners).crash()
            case "broker":
                self.broker.wipe()
            case "network":
                self.world.cut_until = self.world.now + random.randrange(1_000, 30_000)
            case _:
                pass

    def _control(self) -> None:
        """Bring what is on the control subject to the runners, or not."""
        stops, self.scheduler.stops = self.scheduler.stops, []
        for runner in self.runners:
            for stop in stops:
                if runner.up and not self.world.chance(0.2):
                    for step in stop.steps or ():
                        runner.stop(step)

    # People

    def _people(self) -> None:
        for run_id in self.runs:
            if run_id in self.ended:
                continue
            try:
                run = self.scheduler.run(run_id)
            except Away:
                return
            if run.ended is not None:
                self.ended[run_id] = run
                continue
            self._command(run)
            for step in list(run.open.values()):
                if self.world.calm or self.world.random.random() < 0.15:
                    self._serve(run, step)

    def _command(self, run: Run) -> None:
        roll = self.world.random.random()
        if run.paused and (self.world.calm or roll < 0.2):
            self._tell(run, messages.Resume(actor="user:olga"))
        elif not self.world.calm and roll < 0.03:
            self._tell(run, messages.Pause(actor="user:olga"))
        elif not self.world.calm and roll < 0.033:
            self._tell(run, messages.Cancel(actor="user:olga"))

    def _serve(self, run: Run, step: Step) -> None:
        self._numbers += 1
        if step.approval is not None:
            approve = self.world.calm or self.world.random.random() < 0.7
            message = messages.DecideApproval(
                approval_id=step.approval.approval_id, by=f"user:{self._numbers}", approve=approve
            )
            self._tell(run, message)
        elif step.signal is not None:
            signal = messages.SendSignal(
                actor="user:olga", signal_id=f"sig_{self._numbers}", name=step.signal, payload=self._numbers
            )
            self._tell(run, signal)

    def _tell(self, run: Run, message: messages.AnyMessage) -> None:
        self.world.ask(lambda: self.scheduler.tell(run.run_id, message))

    # The end

    def _at_rest(self) -> bool:
        return (
            self.world.calm
            and len(self.ended) == len(self.runs)
            and not self.store.outbox()
            and not self.broker.messages
            and not self.scheduler.attempts.leases
            and not self.scheduler.attempts.dispatches
            and all(runner.idle for runner in self.runners)
        )

    def _what_is_left(self) -> str:
        attempts = self.scheduler.attempts
        lines = [f"ended {sorted(self.ended)}, outbox {self.store.outbox()}, broker {list(self.broker.messages)}"]
        lines.append(f"leases {attempts.leases}, dispatches {attempts.dispatches}")
        lines += [
            f"{runner.name}: up {runner.up}, held {list(runner.held)}, spool {list(runner.spool)}"
            for runner in self.runners
        ]
        for run_id in sorted(set(self.runs) - set(self.ended)):
            run = self.scheduler.run(run_id)
            steps = [(s.state_name, s.status.value, s.attempt, s.token, s.wake_at) for s in run.open.values()]
            lines.append(f"{run_id} {run.status.value}: {steps}")
        return "\n".join(lines)

    def _check_chain(self, run_id: str) -> None:
        previous = GENESIS
        for row in self.store.events(run_id):
            run_id, seq, name, at, step_id, actor, data, stored = row
            assert stored == link(previous, run_id, seq, name, at, step_id, actor, data.encode())
            previous = stored

    def _check_successes(self, run_id: str) -> None:
        """Each success is what an agent did under the very token that was the last one given out."""
        tokens: dict[str, tuple[int, int]] = {}
        for event in map(event_of, self.store.events(run_id)):
            step = event.step_id or ""
            if isinstance(event.data, StepStarted) and event.data.runner is not None:
                tokens[step] = (event.data.attempt, event.seq)
            if isinstance(event.data, StepSucceeded) and step in tokens:
                assert self.ledger.done[run_id, step, *tokens[step]] == event.data.output


@contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop for what is asynchronous in the scheduler; it never waits."""
    loop = asyncio.new_event_loop()
    try:
        yield loop
    finally:
        loop.close()


def simulate(seed: int, loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
    """Play one simulation and check it; give some figures of it."""
    simulation = Simulation(seed, loop)
    try:
        simulation.play()
        simulation.check()
    finally:
        simulation.store.close()
    return {
        "commits": simulation.scheduler.commits,
        "lives": simulation.scheduler.lives,
        "statuses": [run.status.value for run in simulation.ended.values()],
        "seconds": (simulation.world.now - START) / 1000,
    }
