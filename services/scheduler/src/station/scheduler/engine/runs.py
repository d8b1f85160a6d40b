"""The runs that are in memory. Only the sole writer may keep them; a run whose commit failed is dropped at once."""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict

from station.core.program import Program
from station.core.run import Run
from station.runtime import metrics, telemetry
from station.scheduler.engine.loading import Programs, UnknownRun, is_stored, load_run
from station.scheduler.store.reader import Reader

LOADED = metrics.counter("runs_loaded_total", "Runs folded from the store.")
CACHED = metrics.gauge("runs_cached", "Runs held in memory.")


class Slot:
    """One run in memory, with what its next turn needs."""

    __slots__ = ("_held", "dropped", "last_hash", "pending", "program", "run", "trace_id")

    def __init__(self, run: Run, program: Program, last_hash: str) -> None:
        self.run = run
        self.program = program
        self.last_hash = last_hash
        self.trace_id = telemetry.trace_id_of(run.run_id, run.traceparent)
        self._held: asyncio.Future[None] | None = None
        self.pending = 0
        """Turns that are decided and not on disk yet."""
        self.dropped = False

    @property
    def held(self) -> bool:
        """Whether a turn waits for an evaluation: nobody else may decide then."""
        return self._held is not None

    @property
    def idle(self) -> bool:
        """Whether it can be let go without losing anything."""
        return self.pending == 0 and self._held is None

    def hold(self) -> None:
        """Keep others from deciding until ``release``."""
        self._held = asyncio.get_running_loop().create_future()

    def release(self) -> None:
        """Let the next turn be decided."""
        held, self._held = self._held, None
        if held is not None:
            held.set_result(None)

    async def free(self) -> None:
        """Wait until nobody holds it. It stays so until the caller's next pause."""
        while self._held is not None:
            await asyncio.shield(self._held)


class Runs:
    """Slots by run id, least recently used first."""

    def __init__(self, reader: Reader, programs: Programs, capacity: int = 20_000) -> None:
        self._reader = reader
        self._programs = programs
        self._capacity = capacity
        self._slots: OrderedDict[str, Slot] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Slot]] = {}
        CACHED.set_function(lambda: len(self._slots))

    def cached(self, run_id: str) -> Slot | None:
        """Give the run if it is in memory."""
        slot = self._slots.get(run_id)
        if slot is not None:
            self._slots.move_to_end(run_id)
        return slot

    async def get(self, run_id: str) -> Slot:
        """Give the run, folding it from the store if need be. Raises UnknownRun."""
        slot = self.cached(run_id)
        if slot is None and run_id not in self._loading:
            # Whoever starts a run under an id of his own asks for one that is not there: no task for that.
            if not await is_stored(self._reader, run_id):
                raise UnknownRun
            slot = self.cached(run_id)
        if slot is not None:
            return slot
        task = self._loading.get(run_id)
        if task is None:
            task = self._loading[run_id] = asyncio.create_task(self._load(run_id))
            task.add_done_callback(lambda _: self._loading.pop(run_id, None))
        return await asyncio.shield(task)

    def add(self, slot: Slot) -> None:
        """Keep a run that has just been made or loaded."""
        self._slots[slot.run.run_id] = slot
        if len(self._slots) > self._capacity:
            self._let_go()

    def drop(self, slot: Slot) -> None:
        """Forget a run: it has ended, or what is in memory may not be what is stored."""
        slot.dropped = True
        if self._slots.get(slot.run.run_id) is slot:
            del self._slots[slot.run.run_id]

    async def _load(self, run_id: str) -> Slot:
        run, last_hash = await load_run(self._reader, run_id)
        program = await self._programs.get(run.workflow_id, run.version)
        LOADED.inc()
        slot = Slot(run, program, last_hash)
        self.add(slot)
        return slot

    def _let_go(self) -> None:
        for run_id, slot in list(itertools.islice(self._slots.items(), 64)):
            if len(self._slots) <= self._capacity:
                return
            if slot.idle:
                slot.dropped = True
                del self._slots[run_id]
