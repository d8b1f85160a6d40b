"""Timers: every ``wake_at`` of an attempt and every deadline of a run, as a heap over what the rows say.

The rows are the record; the heap is only the order. A timer that fires is a message like any other, and one whose
moment no longer counts is answered with nothing. A paused run's timers fire for nothing and are armed anew when it
is resumed.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from station.contracts.events import RunCreated, RunResumed
from station.core import messages
from station.core.lifecycle import ENDED_STEPS
from station.core.run import Run, Step
from station.runtime import metrics
from station.runtime.logging import get_logger
from station.scheduler.engine.engine import Engine, Move
from station.scheduler.store.reader import Reader

log = get_logger("timers")

_LONGEST_SLEEP = 1.0  # so that a clock that is set is noticed soon
_BATCH = 64
_BATCHES_AT_ONCE = 8  # a turn that waits for an evaluation must not hold up the timers of other runs
_RETRY_MS = 1_000
_AGAIN_MS = 20
_NEVER = 1 << 62
_DEAD_KEPT = 1_024

FIRED = metrics.counter("timers_fired_total", "Timers whose moment came.")
LATENESS = metrics.histogram("timers_late_seconds", "How late timers fired.")
ARMED = metrics.gauge("timers_armed", "Timers that wait for their moment.")

_STEPS = """
SELECT s.run_id, s.step_id, s.attempt, s.wake_at FROM workflow_run_steps s
JOIN workflow_runs r ON r.run_id = s.run_id
WHERE s.completed_at IS NULL AND s.wake_at <= ? AND r.completed_at IS NULL
"""
_RUNS = "SELECT run_id, deadline_at FROM workflow_runs WHERE deadline_at <= ? AND completed_at IS NULL"

_RUN = ""
_Key = tuple[str, str]
_Entry = tuple[int, str, str, int]


class Timers:
    """Watches commits for new timers and submits those that are due."""

    def __init__(self, engine: Engine, now: Callable[[], int]) -> None:
        self._engine = engine
        self._now = now
        self._heap: list[_Entry] = []
        self._armed: dict[_Key, _Entry] = {}
        """The one timer of each attempt or run that counts; what else is in the heap is dead."""
        self._sooner = asyncio.Event()
        self._slots = asyncio.Semaphore(_BATCHES_AT_ONCE)
        self._firing: set[asyncio.Task[None]] = set()
        ARMED.set_function(lambda: len(self._armed))

    async def load(self, reader: Reader, due_before: int = _NEVER) -> None:
        """Arm what the store holds: all of it, or what was due before a moment."""
        for run_id, step_id, attempt, at in await reader.rows(_STEPS, (due_before,)):
            self._arm((at, run_id, step_id, attempt))
        for run_id, at in await reader.rows(_RUNS, (due_before,)):
            self._arm((at, run_id, _RUN, 0))

    def committed(self, move: Move) -> None:
        """Follow the timers of a turn; a run that is resumed arms all of its own again."""
        run = move.slot.run
        for step in move.steps:
            self._follow(run, step)
        if run.ended is not None:
            self._armed.pop((run.run_id, _RUN), None)
            return
        for event in move.decision.events:
            if isinstance(event.data, RunCreated | RunResumed):
                if run.deadline_at is not None:
                    self._arm((run.deadline_at, run.run_id, _RUN, 0))
                for step in list(run.open.values()):
                    self._follow(run, step)

    async def run(self) -> None:
        """Fire for ever."""
        try:
            while True:
                due = self._take_due()
                if due:
                    await self._slots.acquire()
                    task = asyncio.create_task(self._fire(due))
                    self._firing.add(task)
                    task.add_done_callback(self._fired)
                    continue
                self._sooner.clear()
                wake = asyncio.get_running_loop().call_later(self._pause(), self._sooner.set)
                await self._sooner.wait()
                wake.cancel()
        finally:
            for task in self._firing:
                task.cancel()

    def _pause(self) -> float:
        if not self._heap:
            return _LONGEST_SLEEP
        return min(_LONGEST_SLEEP, max(0.001, (self._heap[0][0] - self._now()) / 1000))

    def _follow(self, run: Run, step: Step) -> None:
        key = (run.run_id, step.step_id)
        if step.wake_at is not None and step.status not in ENDED_STEPS:
            self._arm((step.wake_at, run.run_id, step.step_id, step.attempt))
            return
        armed = self._armed.get(key)
        if armed is not None and armed[3] <= step.attempt:
            del self._armed[key]

    def _arm(self, entry: _Entry) -> None:
        key = entry[1:3]
        if self._armed.get(key) == entry:
            return
        self._armed[key] = entry
        heapq.heappush(self._heap, entry)
        if self._heap[0] is entry:
            self._sooner.set()
        if len(self._heap) > 2 * len(self._armed) + _DEAD_KEPT:
            self._heap = list(self._armed.values())
            heapq.heapify(self._heap)

    def _take_due(self) -> list[_Entry]:
        now, due = self._now(), list[_Entry]()
        while self._heap and self._heap[0][0] <= now and len(due) < _BATCH:
            entry = heapq.heappop(self._heap)
            if self._armed.get(entry[1:3]) == entry:
                del self._armed[entry[1:3]]
                due.append(entry)
        return due

    def _fired(self, task: asyncio.Task[None]) -> None:
        self._firing.discard(task)
        self._slots.release()

    async def _fire(self, due: list[_Entry]) -> None:
        now = self._now()
        for entry in due:
            LATENESS.observe((now - entry[0]) / 1000)
        answers = await self._engine.submit_many([(entry[1], _message(entry)) for entry in due])
        FIRED.inc(len(due))
        for entry, answer in zip(due, answers, strict=True):
            at, run_id, step_id, attempt = entry
            if isinstance(answer, Exception):
                log.error("timer_failed", run_id=run_id, step_id=step_id or None, at=at, error=repr(answer))
                self._arm((self._now() + _RETRY_MS, run_id, step_id, attempt))
            elif not answer.events and not answer.tasks and self._still_counts(entry):
                self._arm((max(at, self._now() + _AGAIN_MS), run_id, step_id, attempt))

    def _still_counts(self, entry: _Entry) -> bool:
        """Whether a timer that came to nothing must fire again: the clock was set back before it was decided."""
        _, run_id, step_id, attempt = entry
        slot = self._engine.runs.cached(run_id)
        if slot is None or slot.run.paused or slot.run.ended is not None or entry[1:3] in self._armed:
            return False
        if step_id == _RUN:
            return True
        step = slot.run.open.get(step_id)
        waits = step is not None and step.attempt == attempt and step.wake_at is not None
        return step is not None and waits and step.status not in ENDED_STEPS


def _message(entry: _Entry) -> messages.AnyMessage:
    _, __, step_id, attempt = entry
    return messages.ReachDeadline() if step_id == _RUN else messages.WakeStep(step_id=step_id, attempt=attempt)
