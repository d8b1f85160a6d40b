"""Timers: every ``wake_at`` of an attempt and every deadline of a run, as two heaps over what the rows say.

What was given as a length of time passes by the steady clock, so that nobody who sets the wall clock makes it shorter
or longer; what is a moment that people were told, a deadline or ``until``, comes by the wall clock.

The rows are the record; the heaps are only the order. A timer that fires is a message like any other, and one whose
moment no longer counts is answered with nothing. A paused run's timers fire for nothing and are armed anew when it
is resumed.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import NamedTuple

from station.contracts.actions import HUMAN_APPROVAL, TIMER_WAIT
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
SELECT s.run_id, s.step_id, s.attempt, s.wake_at,
    s.action != 'human.approval' AND (s.action != 'timer.wait' OR json_extract(s.input, '$.until') IS NULL),
    (SELECT e.at FROM workflow_run_events e WHERE e.run_id = r.run_id AND e.seq = r.seq)
FROM workflow_run_steps s
JOIN workflow_runs r ON r.run_id = s.run_id
WHERE s.completed_at IS NULL AND s.wake_at <= ? AND r.completed_at IS NULL
"""
_RUNS = "SELECT run_id, deadline_at FROM workflow_runs WHERE deadline_at <= ? AND completed_at IS NULL"

_RUN = ""
_Key = tuple[str, str]


class _Entry(NamedTuple):
    due: int
    """By the clock that counts for it."""
    run_id: str
    step_id: str
    attempt: int
    at: int
    """The moment in the row."""
    steady: bool

    @property
    def key(self) -> _Key:
        return self.run_id, self.step_id

    def is_timer_of(self, other: _Entry) -> bool:
        """Whether both are of one moment in one row."""
        return self[1:] == other[1:]


class Timers:
    """Watches commits for new timers and submits those that are due."""

    def __init__(self, engine: Engine, now: Callable[[], int], steady: Callable[[], int] | None = None) -> None:
        self._engine = engine
        self._now = now
        self._steady = steady or now
        self._heaps: dict[bool, list[_Entry]] = {False: [], True: []}
        """By whether the steady clock counts."""
        self._armed: dict[_Key, _Entry] = {}
        """The one timer of each attempt or run that counts; what else is in the heaps is dead."""
        self._sooner = asyncio.Event()
        self._slots = asyncio.Semaphore(_BATCHES_AT_ONCE)
        self._firing: set[asyncio.Task[None]] = set()
        ARMED.set_function(lambda: len(self._armed))

    async def load(self, reader: Reader, due_before: int = _NEVER) -> None:
        """Arm what the store holds: all of it, or what was due before a moment."""
        now, steady = self._now(), self._steady()
        for run_id, step_id, attempt, at, lasts, last_at in await reader.rows(_STEPS, (due_before,)):
            # How long it still takes is for the wall clock to say, for no other outlasts the process; not more,
            # though, than after the run's last event, in case the clock was set back meanwhile.
            due = steady + max(0, at - max(now, last_at)) if lasts else at
            self._arm(_Entry(due, run_id, step_id, attempt, at, bool(lasts)))
        for run_id, at in await reader.rows(_RUNS, (due_before,)):
            self._arm(_deadline(run_id, at))

    def committed(self, move: Move) -> None:
        """Follow the timers of a turn; a run that is resumed arms all of its own again."""
        run = move.slot.run
        now = move.decision.events[-1].at if move.decision.events else run.last_at
        for step in move.steps:
            self._follow(run, step, now)
        if run.ended is not None:
            self._armed.pop((run.run_id, _RUN), None)
            return
        for event in move.decision.events:
            if isinstance(event.data, RunCreated | RunResumed):
                if run.deadline_at is not None:
                    self._arm(_deadline(run.run_id, run.deadline_at))
                for step in list(run.open.values()):
                    self._follow(run, step, now)

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
        lefts = [heap[0].due - self._clock(steady) for steady, heap in self._heaps.items() if heap]
        return min(_LONGEST_SLEEP, max(0.001, min(lefts) / 1000)) if lefts else _LONGEST_SLEEP

    def _clock(self, steady: bool) -> int:  # noqa: FBT001 - the key of the heaps
        return self._steady() if steady else self._now()

    def _follow(self, run: Run, step: Step, now: int) -> None:
        """``now``: the run's time in the turn that set the timer."""
        key = (run.run_id, step.step_id)
        if step.wake_at is not None and step.status not in ENDED_STEPS:
            lasts = _lasts(step)
            due = self._steady() + max(0, step.wake_at - now) if lasts else step.wake_at
            self._arm(_Entry(due, run.run_id, step.step_id, step.attempt, step.wake_at, lasts))
            return
        armed = self._armed.get(key)
        if armed is not None and armed.attempt <= step.attempt:
            del self._armed[key]

    def _arm(self, entry: _Entry) -> None:
        armed = self._armed.get(entry.key)
        if armed is not None and armed.is_timer_of(entry):
            return
        self._armed[entry.key] = entry
        heap = self._heaps[entry.steady]
        heapq.heappush(heap, entry)
        if heap[0] is entry:
            self._sooner.set()
        if len(heap) > 2 * len(self._armed) + _DEAD_KEPT:
            heap[:] = [live for live in self._armed.values() if live.steady is entry.steady]
            heapq.heapify(heap)

    def _take_due(self) -> list[_Entry]:
        due = list[_Entry]()
        for steady, heap in self._heaps.items():
            now = self._clock(steady)
            while heap and heap[0].due <= now and len(due) < _BATCH:
                entry = heapq.heappop(heap)
                if self._armed.get(entry.key) == entry:
                    del self._armed[entry.key]
                    due.append(entry)
        return due

    def _fired(self, task: asyncio.Task[None]) -> None:
        self._firing.discard(task)
        self._slots.release()

    async def _fire(self, due: list[_Entry]) -> None:
        for entry in due:
            LATENESS.observe((self._clock(entry.steady) - entry.due) / 1000)
        answers = await self._engine.submit_many([(entry.run_id, _message(entry)) for entry in due])
        FIRED.inc(len(due))
        for entry, answer in zip(due, answers, strict=True):
            now = self._clock(entry.steady)
            if isinstance(answer, Exception):
                log.error(
                    "timer_failed", run_id=entry.run_id, step_id=entry.step_id or None, at=entry.at, error=repr(answer)
                )
                self._arm(entry._replace(due=now + _RETRY_MS))
            elif not answer.events and not answer.tasks and self._still_counts(entry):
                # A length of time has passed for good: the run was only paused when that was decided.
                self._arm(entry._replace(due=now if entry.steady else max(entry.due, now + _AGAIN_MS)))

    def _still_counts(self, entry: _Entry) -> bool:
        """Whether a timer that came to nothing must fire again.

        The clock was set back before it was decided, or the run was resumed before it was answered.
        """
        slot = self._engine.runs.cached(entry.run_id)
        if slot is None or slot.run.paused or slot.run.ended is not None or entry.key in self._armed:
            return False
        if entry.step_id == _RUN:
            return True
        step = slot.run.open.get(entry.step_id)
        waits = step is not None and step.attempt == entry.attempt and step.wake_at == entry.at
        return step is not None and waits and step.status not in ENDED_STEPS


def _deadline(run_id: str, at: int) -> _Entry:
    return _Entry(at, run_id, _RUN, 0, at, steady=False)


def _lasts(step: Step) -> bool:
    """Whether a step waits for a length of time to pass, not for a moment to come; `_STEPS` asks the rows the same."""
    return step.action != HUMAN_APPROVAL and (step.action != TIMER_WAIT or step.input.get("until") is None)


def _message(entry: _Entry) -> messages.AnyMessage:
    if entry.step_id == _RUN:
        return messages.ReachDeadline()
    elapsed = entry.at if entry.steady else None
    return messages.WakeStep(step_id=entry.step_id, attempt=entry.attempt, elapsed=elapsed)
