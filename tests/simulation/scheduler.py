"""The scheduler of a simulation: its real parts, wired as the service wires them, on the simulated store and broker.

Engine, relay, timers, leases, reconcile, sweep and the handlers of requests are the product's own code; many requests
are under way at once. It may die at any await: all that it had in memory is gone then, and the next one starts from
what is stored.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, cast
from unittest.mock import patch

from station.contracts.errors import Failure
from station.contracts.work import CancelSteps, HeldStep
from station.core import messages
from station.core.decision import Evaluation
from station.core.program import Limits, Program
from station.core.run import Run
from station.runtime.errors import Refused
from station.scheduler.engine.attempts import Attempts
from station.scheduler.engine.engine import Engine, Move, NotStored
from station.scheduler.engine.loading import Programs, event_of
from station.scheduler.engine.reconcile import Reconcile
from station.scheduler.engine.relay import Relay
from station.scheduler.engine.runs import Runs
from station.scheduler.engine.sweep import Sweep
from station.scheduler.engine.timers import Timers
from station.scheduler.handlers import runs as run_handlers
from station.scheduler.handlers import steps as step_handlers
from station.scheduler.handlers.approvals import Approvals
from station.scheduler.handlers.catalog import Catalog
from station.scheduler.handlers.definitions import Definitions
from station.scheduler.handlers.idempotency import Idempotency
from station.scheduler.handlers.runners import Runners
from station.scheduler.handlers.runs import RunCommands
from station.scheduler.handlers.steps import StepRequests
from station.scheduler.handlers.versions import Versions
from tests.simulation.broker import Broker, Connection
from tests.simulation.process import Process
from tests.simulation.store import SimulatedReader, SimulatedWriter, Store
from tests.simulation.world import World
from tests.support.driven_run import evaluate
from tests.support.run_invariants import Laws, check_counters, check_structure, check_wake_up

LEASE_MS = 15_000
LIMITS = Limits(max_states=40)
CHECKED_EVERY = 8
"""Every how many commits all rows of the run are compared with the fold of its events; at the end they all are."""
Question = Callable[["Life"], Coroutine[Any, Any, Any]]
Answered = Callable[[Any], None]


class Witness:
    """Sees every commit that the scheduler lives to see."""

    def __init__(self, scheduler: SimulatedScheduler) -> None:
        self._scheduler = scheduler

    def committed(self, move: Move) -> None:
        try:
            self._scheduler.check(move)
        except AssertionError as error:
            self._scheduler.world.broken = error  # the engine keeps what a watcher raises to itself
            raise


class SimulatedReconcile(Reconcile):
    """Makes the streams and the consumer of the simulation instead of real ones."""

    def __init__(self, world: World, broker: Broker, **more: Any) -> None:
        super().__init__(**more)
        self._world, self._broker = world, broker

    async def ensure_streams(self) -> None:
        await asyncio.sleep(0.002)
        if not self._world.connected:
            raise TimeoutError
        if not self._broker.there:
            self._broker.there = True
            self._attempts.suspect_all()

    async def runner_restarted(self, runner: str, boot: int) -> None:
        await asyncio.sleep(0.002)
        if self._world.connected:
            self._broker.release_all()
        await self.hand_out_again(self._attempts.of_earlier_boots(runner, boot))


class Life:
    """One start of the scheduler until its death."""

    def __init__(self, scheduler: SimulatedScheduler, process: Process) -> None:
        world = scheduler.world
        self.connection: Any = Connection(world, scheduler.broker, process)
        self.writer = SimulatedWriter(scheduler.store.connection, world, process)
        self.reader = SimulatedReader(scheduler.store.connection, world)
        self.process = process
        self._scheduler = scheduler
        now = scheduler.now
        programs = Programs(self.reader)
        programs._kept = scheduler.compiled  # what never changes need not be compiled anew by each life
        (first,) = scheduler.store.all("SELECT coalesce(max(id), 0) + 1 FROM outbox")
        engine = self.engine = Engine(
            writer=self.writer,
            runs=Runs(self.reader, programs),
            limits=LIMITS,
            now=now,
            evaluate=_evaluate,
            first_outbox_id=first[0],
        )
        self.relay = Relay(self.connection, self.writer, now)
        self.timers = Timers(engine, now)
        self.attempts = attempts = Attempts(now, LEASE_MS, now)
        self.reconcile = SimulatedReconcile(
            world,
            scheduler.broker,
            bus=self.connection,
            engine=engine,
            attempts=attempts,
            relay=self.relay,
            now=now,
            period=1,
        )
        self.sweep = Sweep(reader=self.reader, timers=self.timers, attempts=attempts, now=now)
        self._wire(programs, now)

    def _wire(self, programs: Programs, now: Callable[[], int]) -> None:
        self.catalog = Catalog(self.writer, now)
        self.runners = Runners(self.writer, now)
        self.definitions = Definitions(
            writer=self.writer, reader=self.reader, programs=programs, catalog=self.catalog, now=now
        )
        idempotency = Idempotency(self.reader, now)
        self.runs = RunCommands(
            engine=self.engine,
            definitions=self.definitions,
            catalog=self.catalog,
            idempotency=idempotency,
            limits=LIMITS,
            now=now,
        )
        self.approvals = Approvals(self.engine, self.reader, idempotency, self.connection)
        self.steps = StepRequests(
            engine=self.engine,
            attempts=self.attempts,
            reconcile=self.reconcile,
            catalog=self.catalog,
            runners=self.runners,
            versions=Versions(self.writer, self.reader, now),
            reader=self.reader,
        )

    async def live(self) -> None:
        """Take up what is stored, then answer, then go on for ever."""
        for part in (self.catalog, self.runners, self.relay, self.timers, self.attempts):
            await part.load(self.reader)
        await self.definitions.load()
        self.engine.watchers += [Witness(self._scheduler), self.attempts, self.timers, self.relay, self._scheduler]
        await self.reconcile.once()
        self._scheduler.answers = True
        await asyncio.gather(self.relay.run(), self.timers.run(), self.reconcile.run(), self.sweep.run())


class SimulatedScheduler:
    """One scheduler after the other on one store."""

    def __init__(self, world: World, store: Store, broker: Broker) -> None:
        self.world, self.store, self.broker = world, store, broker
        self.compiled: OrderedDict[tuple[str, int], Program] = OrderedDict()
        self.lives = 0
        self.commits = 0
        self.laws: dict[str, Laws] = {}
        self.stops: list[CancelSteps] = []
        """What went out on the control subject and nobody has read yet."""
        self.answers = False
        self.start()

    def start(self) -> None:
        """Come up with nothing but the store."""
        self.lives += 1
        process = Process(self.world, "scheduler", self._died)
        self.life = Life(self, process)
        process.spawn(self.life.live()).add_done_callback(self._gave_up)
        if self.world.chance(0.1, "crash during a start"):
            process.die_within(40)

    def _died(self) -> None:
        self.answers = False
        self.world.troubles["scheduler restarted"] += 1
        self.world.after(self.world.random.randrange(100, 3_000), self.start)

    def _gave_up(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.world.broken = cast("Exception", task.exception())

    def receive(self, question: Question, answered: Answered) -> None:
        """Answer a request, or die over it. What is told as not stored now is for the asker as if nobody were there."""
        if not self.answers:
            return
        process = self.life.process
        if self.world.chance(0.03, "fuse"):
            process.die_within(12)
        process.spawn(question(self.life)).add_done_callback(lambda task: self._done(task, answered))

    def _done(self, task: asyncio.Task[Any], answered: Answered) -> None:
        error = None if task.cancelled() else task.exception()
        if error is None:
            answered(task.result())
        elif isinstance(error, Refused):
            if error.failure.status < 500:
                answered(error.failure)
        elif not isinstance(error, NotStored):
            self.world.broken = cast("Exception", error)

    def cut(self, duration_ms: int) -> None:
        """The network is gone for a while."""
        self.world.cut(duration_ms)
        self.life.connection.break_down()

    # What becomes true

    def check(self, move: Move) -> None:
        """Look at what has just become true."""
        run = move.slot.run
        laws = self.laws.get(run.run_id)
        if laws is None or laws._seq + 1 != (move.decision.events[0].seq if move.decision.events else laws._seq + 1):
            laws = self.laws[run.run_id] = Laws()  # a life died before it saw a commit: begin again from what is stored
            for row in self.store.events(run.run_id):
                event = event_of(row)
                if not move.decision.events or event.seq < move.decision.events[0].seq:
                    laws.take(event)
        for event in move.decision.events:
            laws.take(event)
        if not move.slot.held:  # or memory is in the middle of a later turn
            check_counters(run)
            check_structure(run)
            check_wake_up(run, None)
        self.commits += 1
        if self.commits % CHECKED_EVERY == 0 and move.slot.idle:
            self.store.check(run.run_id, run)

    def committed(self, move: Move) -> None:
        """Tell runners to stop what a turn has ended."""
        run_id = move.slot.run.run_id
        held = tuple(
            HeldStep(run_id=run_id, step_id=stop.step_id, attempt=stop.attempt, token=stop.token)
            for stop in move.decision.stops
        )
        if held:
            self.stops.append(CancelSteps(run_id=run_id, steps=held))

    def run(self, run_id: str) -> Run | None:
        slot = self.life.engine.runs.cached(run_id)
        return None if slot is None else slot.run

    def now(self) -> int:
        return self.world.now


@contextmanager
def counted_ids(world: World) -> Iterator[None]:
    """The ids that the handlers make are counted, so that a seed plays the same every time."""
    with patch.object(run_handlers, "new_id", world.new_id), patch.object(step_handlers, "new_id", world.new_id):
        yield


def refused(answer: object) -> bool:
    """Whether the scheduler said no."""
    return isinstance(answer, Failure)


async def _evaluate(asked: Evaluation) -> messages.Evaluated:
    await asyncio.sleep(0.003)
    return evaluate(asked)
