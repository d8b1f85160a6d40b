"""The scheduler of a simulation: the real engine, leases, timers and request handlers on the store of the simulation.

It dies before a commit, after a commit and before anything of it was published, or between two requests. All that it
had in memory is gone then; the next one starts from what is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import msgspec

from station.contracts.events import Event, RunCreated
from station.contracts.work import CancelSteps, HeldStep, StepTask
from station.core import messages
from station.core.decision import Decision, Evaluation
from station.core.program import Limits
from station.core.run import Run
from station.scheduler.engine.attempts import Attempts
from station.scheduler.engine.engine import Engine, Move, NotStored
from station.scheduler.engine.loading import Programs
from station.scheduler.engine.reconcile import Reconcile
from station.scheduler.engine.record import Outgoing, TaskMessage
from station.scheduler.engine.runs import Runs
from station.scheduler.engine.sweep import Sweep
from station.scheduler.engine.timers import Timers, _message
from station.scheduler.handlers.runners import Runners
from station.scheduler.handlers.steps import StepRequests
from tests.simulation.broker import Broker
from tests.simulation.store import REVISION, Store
from tests.simulation.world import Away, World
from tests.support.driven_run import evaluate
from tests.support.run_invariants import Laws, check_counters, check_structure, check_wake_up

LEASE_MS = 15_000
ENVIRONMENTS = ("default",)
LIMITS = Limits(max_states=60)
T = TypeVar("T")


class Witness:
    """Sees every commit, also one after which nothing else is told of it."""

    def __init__(self, scheduler: SimulatedScheduler) -> None:
        self._scheduler = scheduler

    def committed(self, move: Move) -> None:
        try:
            self._scheduler.check(move)
        except Exception as error:
            self._scheduler.broken = error  # the engine keeps what a watcher raises to itself
            raise


class Wiretap:
    """Sits where the relay and the control subject are: what a committed turn sends out."""

    def __init__(self, scheduler: SimulatedScheduler) -> None:
        self._scheduler = scheduler
        self.on_missing_stream = lambda: None

    def committed(self, move: Move) -> None:
        self._scheduler.stop(move)
        self.send(move.outgoing)

    def send(self, outgoing: Outgoing) -> None:
        self._scheduler.publish(outgoing.id, outgoing.tasks)


class SimulatedReconcile(Reconcile):
    """Makes the stream of the simulation instead of a real one."""

    def __init__(self, world: World, broker: Broker, **more: Any) -> None:
        super().__init__(bus=cast("Any", None), **more)
        self._world, self._broker = world, broker

    async def ensure_streams(self) -> None:
        if self._world.now < self._world.cut_until:
            raise TimeoutError
        if not self._broker.there:
            self._broker.there = True
            self._attempts.suspect_all()


class SimulatedScheduler:
    """One scheduler after the other on one store."""

    def __init__(self, world: World, loop: asyncio.AbstractEventLoop, store: Store, broker: Broker) -> None:
        self._world, self._loop, self._store, self._broker = world, loop, store, broker
        self.lives = 0
        self._announced: set[str] = set()
        self.up = False
        self.laws: dict[str, Laws] = {}
        self.stops: list[CancelSteps] = []
        """What went out on the control subject and nobody has read yet."""
        self.commits = 0
        self.broken: Exception | None = None
        self.start()

    # Life and death

    def start(self) -> None:
        """Come up with nothing but the store."""
        self.lives += 1
        self.up = True
        store: Any = self._store
        runs = Runs(store, Programs(store))
        self.attempts = Attempts(self._now, LEASE_MS, self._now)
        (last,) = self._do(self._store.rows("SELECT coalesce(max(id), 0) FROM outbox"))
        self.engine = Engine(
            writer=store, runs=runs, limits=LIMITS, now=self._now, evaluate=_evaluate, first_outbox_id=last[0] + 1
        )
        self.timers = Timers(self.engine, self._now)
        relay: Any = Wiretap(self)
        self.engine.watchers = [Witness(self), relay, self.attempts, self.timers]
        self.reconcile = SimulatedReconcile(
            self._world,
            self._broker,
            engine=self.engine,
            attempts=self.attempts,
            relay=relay,
            now=self._now,
            period=1,
        )
        self.sweep = Sweep(reader=store, timers=self.timers, attempts=self.attempts, now=self._now)
        runners = self.runners = Runners(store, self._now)
        self._do(runners.load(store))
        for name in self._announced:
            runners.note_environments(name, ENVIRONMENTS)
        self.requests = StepRequests(
            engine=self.engine,
            attempts=self.attempts,
            reconcile=self.reconcile,
            catalog=cast("Any", None),
            runners=runners,
            reader=store,
        )
        self._do(self.attempts.load(store))
        self._do(self.timers.load(store))
        for identity, body in self._do(self._store.rows("SELECT id, messages FROM outbox ORDER BY id")):
            self.publish(identity, msgspec.msgpack.decode(body, type=list[TaskMessage]))
        life = self.lives
        self._world.every(1_000, lambda: self._go_over(self.reconcile.once()), lambda: self.up and self.lives == life)
        self._world.every(30_000, lambda: self._go_over(self.sweep.once()), lambda: self.up and self.lives == life)
        self._world.every(100, self._fire_timers, lambda: self.up and self.lives == life)

    def crash(self) -> None:
        """Lose everything that is not stored, and come back after a while."""
        if self.up:
            self.up = False
            self._world.after(self._world.random.randrange(100, 20_000), self.start)

    # Requests

    def handle(self, request: Coroutine[Any, Any, T]) -> T:
        """Answer a request, or die over it. Raises Away."""
        if not self.up:
            request.close()
            raise Away
        silent = self._world.chance(0.01)
        self._store.crash_before_commit = self._world.chance(0.01)
        watchers = self.engine.watchers
        if silent:
            self.engine.watchers = watchers[:1]
        try:
            answer = self._do(request)
        except Exception as error:
            if isinstance(error, NotStored) or type(error).__name__ == "Refused":
                self.crash()
                raise Away from None
            raise
        finally:
            crashed, self._store.crash_before_commit = self._store.crash_before_commit, False
            self.engine.watchers = watchers
            if self.broken is not None:
                raise self.broken
        if silent or crashed:
            self.crash()
            raise Away
        return answer

    def tell(self, run_id: str, message: messages.AnyMessage) -> Decision:
        """Have a message decided."""
        return self.handle(self.engine.submit(run_id, message))

    def create(self, run_id: str, workflow_id: str, given: dict[str, Any], deadline_at: int | None) -> None:
        """Start a run, with no fault on the way."""
        data = RunCreated(
            workflow_id=workflow_id,
            version=REVISION,
            environment="default",
            input=given,
            started_by="user:alice",
            deadline_at=deadline_at,
        )
        created = Event(run_id=run_id, seq=1, at=self._now(), actor="user:alice", data=data)
        program = self._do(self.engine.runs._programs.get(workflow_id, REVISION))
        self._do(self.engine.start(created, program))

    def announce(self, runner: str, boot: int) -> None:
        """A runner has started: what its earlier starts held is free."""
        self._announced.add(runner)
        self.runners.note_environments(runner, ENVIRONMENTS)
        self.runners.note(runner, boot)
        self._broker.release_all()
        self.handle(self.reconcile.hand_out_again(self.attempts.of_earlier_boots(runner, boot)))
        self.handle(self.runners.keep(runner, boot))

    def run(self, run_id: str) -> Run:
        """Look at a run. Raises Away."""
        return self.handle(self.engine.runs.get(run_id)).run

    # What goes on by itself

    def publish(self, identity: int, tasks: Sequence[TaskMessage]) -> None:
        """Send the tasks of a turn, again and again until the broker has them; then the outbox forgets the turn."""
        life = self.lives

        def send() -> None:
            if not self.up or self.lives != life:
                return
            try:
                for task in tasks:
                    if task.subject.startswith("wf.task.step."):
                        body = msgspec.msgpack.decode(task.body, type=StepTask)
                        self._broker.publish(task.subject, body, replaces=task.replaces)
            except Away:
                self._world.after(500, send)
                return
            if self._world.chance(0.05):  # the acknowledgement got lost
                self._world.after(3_000, send)
            elif identity:
                self._store._connection.execute("DELETE FROM outbox WHERE id = ?", (identity,))

        self._world.after(self._world.random.randrange(1, 200), send)

    def check(self, move: Move) -> None:
        """Look at what has just become true."""
        run, laws = move.slot.run, self.laws
        for event in move.decision.events:
            laws.setdefault(run.run_id, Laws()).take(event)
        check_counters(run)
        check_structure(run)
        check_wake_up(run, None)
        self.commits += 1
        if self.commits % 16 == 0:
            self._store.check(run.run_id, run)

    def stop(self, move: Move) -> None:
        """Tell runners to stop what a turn has ended."""
        run = move.slot.run
        held = tuple(
            HeldStep(run_id=run.run_id, step_id=stop.step_id, attempt=stop.attempt, token=stop.token)
            for stop in move.decision.stops
        )
        if held:
            self.stops.append(CancelSteps(run_id=run.run_id, steps=held))

    def _go_over(self, work: Coroutine[Any, Any, None]) -> None:
        with suppress(Away):
            self.handle(work)

    def _fire_timers(self) -> None:
        for entry in self.timers._take_due():
            try:
                self.tell(entry[1], _message(entry))
            except Away:
                return

    def _now(self) -> int:
        return self._world.now

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)


async def _evaluate(asked: Evaluation) -> messages.Evaluated:
    return evaluate(asked)
