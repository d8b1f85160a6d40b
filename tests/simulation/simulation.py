"""One simulation: a seed decides the workflows, the faults and what people do; then all is calm, and runs must end."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any, NamedTuple

from station.contracts.events import (
    ApprovalApproved,
    ApprovalRejected,
    Event,
    RunCancelled,
    RunPaused,
    RunResumed,
    SignalReceived,
    StepStarted,
    StepSucceeded,
)
from station.core.definition import Definition, to_canonical
from station.scheduler.engine.loading import event_of
from tests.simulation.broker import Broker
from tests.simulation.network import Network
from tests.simulation.people import People
from tests.simulation.runner import Ledger, SimulatedRunner
from tests.simulation.scheduler import SimulatedScheduler, counted_ids
from tests.simulation.store import Store
from tests.simulation.workflows import FIXED
from tests.simulation.world import START, World
from tests.support.driven_run import loaded
from tests.support.random_definitions import random_definition
from tests.support.reference_model import check_against_model
from tests.support.run_invariants import Laws

STORMY_MS = 20_000
PATIENCE_MS = 3_600_000
"""How long everything may take once all is calm: forty states a run at most, with timers and pauses between."""
_EFFECTS = {
    RunPaused: "pause",
    RunResumed: "resume",
    RunCancelled: "cancel",
    SignalReceived: "signal",
    ApprovalApproved: "decide",
    ApprovalRejected: "decide",
}


class Figures(NamedTuple):
    """What happened in a simulation."""

    runs: int
    commits: int
    events: int
    statuses: tuple[str, ...]
    milliseconds: int
    troubles: Counter[str]


class Simulation:
    """A run or a few, two runners and a third that goes for good, one scheduler at a time."""

    def __init__(self, seed: int) -> None:
        world = self.world = World(seed)
        self.store = Store()
        self.broker = Broker(world)
        self.definitions = {definition.id: definition for definition in self._draw()}
        for definition in self.definitions.values():
            self.store.add_definition(definition)
        self.scheduler = SimulatedScheduler(world, self.store, self.broker)
        self.network = Network(world, self.scheduler)
        self.people = People(world, self.network, self.scheduler, self.store)
        self.ledger = Ledger()
        self.runners = [
            SimulatedRunner(name, world, self.broker, self.network, self.ledger) for name in ("r1", "r2", "r3")
        ]
        world.after(world.random.randrange(STORMY_MS), self.runners.pop().leave)
        for definition in self.definitions.values():
            self.people.start(definition)
        self._rested = False

    def _draw(self) -> list[Definition]:
        random = self.world.random
        drawn: list[Definition] = []
        for index in range(random.choice([1, 1, 2])):
            if random.random() < 0.6:
                definition = {**random_definition(random), "id": f"w{index}"}
                if random.random() < 0.8:
                    del definition["timeoutSeconds"]  # a run that a fault has left standing would end by it
                drawn.append(loaded(definition))
            else:
                drawn.append(_fixed(random.randrange(len(FIXED)), index))
        return drawn

    def play(self) -> None:
        """A storm, then calm, until everything is at rest."""
        world = self.world
        world.every(1_000, self._strike, lambda: not world.calm)
        world.every(300, self._control)
        world.run(START + STORMY_MS)
        world.calm = True
        world.every(1_000, self._look)
        world.run(world.now + PATIENCE_MS, lambda: self._rested)
        assert self._rested, self._what_is_left()

    def close(self) -> None:
        """End what still runs, so that nothing of it is left to the collector of garbage."""
        for process in (self.scheduler.life.process, self.people.process, *(one.process for one in self.runners)):
            process.die()
        self.store.close()

    def _strike(self) -> None:
        random = self.world.random
        match random.choice(["scheduler", "runner", "runner", "broker", "network", *[""] * 6]):
            case "scheduler":
                self.world.troubles["scheduler killed"] += not self.scheduler.life.process.dead
                self.scheduler.life.process.die()
            case "runner":
                runner = random.choice(self.runners)
                self.world.troubles["runner killed"] += runner.up
                runner.process.die()
            case "broker":
                self.world.troubles["wipe"] += 1
                self.broker.wipe()
            case "network" if self.world.connected:
                self.world.troubles["network cut"] += 1
                self.scheduler.cut(random.randrange(1_000, 6_000))
            case _:
                pass

    def _control(self) -> None:
        """Bring what is on the control subject to the runners, or not."""
        stops, self.scheduler.stops = self.scheduler.stops, []
        for runner in self.runners if stops else ():
            for stop in stops:
                if runner.up and not runner.process.frozen and not self.world.chance(0.5, "stop lost"):
                    for step in stop.steps or ():
                        runner.stop(step)

    # The end

    def _look(self) -> None:
        life = self.scheduler.life
        self._rested = (
            not self.people.waiting
            and not self.broker.messages
            and self.scheduler.answers
            and not life.attempts.leases
            and not life.attempts.dispatches
            and all(runner.idle for runner in self.runners)
            and not self.store.all("SELECT 1 FROM workflow_runs WHERE completed_at IS NULL LIMIT 1")
            and not self.store.all("SELECT 1 FROM outbox LIMIT 1")
        )

    def _what_is_left(self) -> str:
        life = self.scheduler.life
        lines = [
            f"outbox {self.store.all('SELECT id FROM outbox')}, broker {list(self.broker.messages)}",
            f"leases {life.attempts.leases}, dispatches {life.attempts.dispatches}",
            f"people {self.people._busy}, starting {self.people.starting}",
        ]
        lines += [
            f"{runner.name}: up {runner.up}, held {list(runner.held)}, spool {list(runner.spool)}"
            for runner in self.runners
        ]
        for (run_id,) in self.store.all("SELECT run_id FROM workflow_runs WHERE completed_at IS NULL"):
            run = self.store.check(run_id)
            steps = [(s.state_name, s.status.value, s.attempt, s.token, s.wake_at) for s in run.open.values()]
            lines.append(f"{run_id} {run.status.value}: {steps}")
        return "\n".join(lines)

    def check(self) -> Figures:
        """The invariants of the architecture, on what is stored at the end."""
        statuses: list[str] = []
        effects: Counter[tuple[str, str]] = Counter()
        total = 0
        rows = self.store.all("SELECT run_id, workflow_id, started_by FROM workflow_runs ORDER BY run_id")
        for run_id, workflow_id, started_by in rows:
            run = self.store.check(run_id)
            assert run.ended is not None
            statuses.append(run.status.value)
            events = [event_of(row) for row in self.store.events(run_id)]
            total += len(events)
            check_against_model(to_canonical(self.definitions[workflow_id]), run, events)
            self.store.check_chain(run_id)
            self._check_history(run_id, events)
            effects["start", started_by] += 1
            for event in events:
                kind = _EFFECTS.get(type(event.data))
                if kind is not None:
                    effects[kind, event.actor] += 1
        self._check_intentions(effects)
        world = self.world
        return Figures(len(rows), self.scheduler.commits, total, tuple(statuses), world.now - START, +world.troubles)

    def _check_history(self, run_id: str, events: list[Event]) -> None:
        """The laws hold, every event was published, and each success is what an agent did under the last token."""
        laws = Laws()
        tokens: dict[str, tuple[int, int]] = {}
        for event in events:
            laws.take(event)
            assert f"{run_id}:{event.seq}" in self.broker.events, f"event {event.seq} was never published"
            step = event.step_id or ""
            if isinstance(event.data, StepStarted) and event.data.runner is not None:
                tokens[step] = (event.data.attempt, event.seq)
            if isinstance(event.data, StepSucceeded) and step in tokens:
                assert event.data.output in self.ledger.done[run_id, step, *tokens[step]]

    def _check_intentions(self, effects: Counter[tuple[str, str]]) -> None:
        """What was granted happened once, whatever was asked happened once at most, and every answer was the same."""
        for intention in self.people.intentions:
            count = effects[intention.kind, intention.actor]
            assert count <= 1, f"{intention.kind} of {intention.actor} happened {count} times"
            granted = intention.granted
            assert count == 1 or not granted, f"{intention.kind} of {intention.actor} was granted and never happened"
            names = {_what(answer) for answer in granted}
            assert len(names) <= 1, f"{intention.kind} of {intention.actor} was answered as {names}"


@functools.cache
def _fixed(which: int, index: int) -> Definition:
    return loaded({**FIXED[which], "id": f"w{index}"})


def _what(answer: Any) -> tuple[Any, ...]:
    """What an answer is about, in the words that may not differ from one time to the next."""
    return tuple(getattr(answer, name, None) for name in ("run_id", "id", "approval_id", "name"))


def simulate(seed: int) -> Figures:
    """Play one simulation and check it."""
    simulation = Simulation(seed)
    try:
        with counted_ids(simulation.world):
            simulation.play()
            return simulation.check()
    finally:
        simulation.close()
