"""Timers: every ``wake_at`` of an attempt and every deadline of a run, as a heap over what the rows say.

The rows are the record; the heap is only the order. A timer that fires is a message like any other, and one whose
moment no longer counts is answered with nothing.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from station.contracts.events import RunCreated, RunResumed
from station.core import messages
from station.core.lifecycle import ENDED_STEPS
from station.runtime import metrics
from station.runtime.logging import get_logger
from station.scheduler.engine.engine import Engine, Move
from station.scheduler.store.reader import Reader

log = get_logger("timers")

_LONGEST_SLEEP = 1.0  # so that a clock that is set is noticed soon
_BATCH = 64

FIRED = metrics.counter("timers_fired_total", "Timers whose moment came.")
LATENESS = metrics.histogram("timers_late_seconds", "How late timers fired.")
ARMED = metrics.gauge("timers_armed", "Timers in the heap, those that no longer count among them.")

_STEPS = """
SELECT s.run_id, s.step_id, s.attempt, s.wake_at FROM workflow_run_steps s
JOIN workflow_runs r ON r.run_id = s.run_id
WHERE s.completed_at IS NULL AND s.wake_at IS NOT NULL AND r.completed_at IS NULL
"""
_RUNS = "SELECT run_id, deadline_at FROM workflow_runs WHERE deadline_at IS NOT NULL AND completed_at IS NULL"

_RUN = ""
_Entry = tuple[int, str, str, int]


class Timers:
    """Watches commits for new timers and submits those that are due."""

    def __init__(self, engine: Engine, now: Callable[[], int]) -> None:
        self._engine = engine
        self._now = now
        self._heap: list[_Entry] = []
        self._sooner = asyncio.Event()
        ARMED.set_function(lambda: len(self._heap))

    async def load(self, reader: Reader) -> None:
        """Arm what the store holds."""
        for run_id, step_id, attempt, at in await reader.rows(_STEPS):
            self._arm(at, run_id, step_id, attempt)
        for run_id, at in await reader.rows(_RUNS):
            self._arm(at, run_id, _RUN, 0)

    def committed(self, move: Move) -> None:
        """Arm the timers of a turn; a run that is resumed arms all of its own again."""
        run = move.slot.run
        if run.ended is not None:
            return
        steps = move.steps
        for event in move.decision.events:
            if isinstance(event.data, RunCreated | RunResumed):
                steps = list(run.open.values())
                if run.deadline_at is not None:
                    self._arm(run.deadline_at, run.run_id, _RUN, 0)
        for step in steps:
            if step.wake_at is not None and step.status not in ENDED_STEPS:
                self._arm(step.wake_at, run.run_id, step.step_id, step.attempt)

    async def run(self) -> None:
        """Fire for ever."""
        while True:
            due = self._take_due()
            if due:
                await self._fire(due)
                continue
            self._sooner.clear()
            wait = _LONGEST_SLEEP if not self._heap else min(_LONGEST_SLEEP, (self._heap[0][0] - self._now()) / 1000)
            try:
                await asyncio.wait_for(self._sooner.wait(), max(wait, 0.001))
            except TimeoutError:
                continue

    def _arm(self, at: int, run_id: str, step_id: str, attempt: int) -> None:
        entry = (at, run_id, step_id, attempt)
        heapq.heappush(self._heap, entry)
        if self._heap[0] is entry:
            self._sooner.set()

    def _take_due(self) -> list[_Entry]:
        now, due = self._now(), list[_Entry]()
        while self._heap and self._heap[0][0] <= now and len(due) < _BATCH:
            due.append(heapq.heappop(self._heap))
        return due

    async def _fire(self, due: list[_Entry]) -> None:
        now = self._now()
        for entry in due:
            LATENESS.observe((now - entry[0]) / 1000)
        answers = await self._engine.submit_many([(entry[1], _message(entry)) for entry in due])
        FIRED.inc(len(due))
        failed = [entry for entry, answer in zip(due, answers, strict=True) if isinstance(answer, Exception)]
        for at, run_id, step_id, attempt in failed:
            log.error("timer_failed", run_id=run_id, step_id=step_id or None, at=at)
            self._arm(now + 1000, run_id, step_id, attempt)


def _message(entry: _Entry) -> messages.AnyMessage:
    _, __, step_id, attempt = entry
    return messages.ReachDeadline() if step_id == _RUN else messages.WakeStep(step_id=step_id, attempt=attempt)
