"""The attempts that this runner holds: claimed, being executed, or waiting for their report to be answered."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from enum import Enum
from typing import Literal

from nats.aio.msg import Msg

from station.agent_runner import metrics
from station.agent_runner.metering import Meter
from station.contracts.usage import AgentUse
from station.contracts.work import CancelSteps, Claim, HeldStep, StepTask

Key = tuple[str, str, int]
"""Run, step, attempt."""
REMEMBERED = 4096


class StopReason(Enum):
    """Why an attempt is stopped before its end."""

    CANCELLED = "cancelled"
    """Told so on the control subject."""
    LOST = "lost"
    """The scheduler says that it is no longer ours."""
    SHUTDOWN = "shutdown"
    """The runner ends; the attempt is given back."""


class Held:
    """One claimed attempt and the task that works on it."""

    def __init__(self, task: StepTask, claim: Claim, message: Msg | None, traceparent: str | None) -> None:
        """Without a message it was assigned with the answer to a report, and the broker knows nothing of it."""
        self.task = task
        self.claim = claim
        self.message = message
        self.traceparent = traceparent
        self.stopped: StopReason | None = None
        self.phase: Literal["accepted", "executing", "reporting"] = "accepted"
        self.work: asyncio.Task[None] | None = None
        self.meter = Meter()
        """Says what was used, whatever became of the work."""
        self.agent: AgentUse | None = None
        """Who does the work, once that is known."""

    @property
    def key(self) -> Key:
        return self.task.run_id, self.task.step_id, self.task.attempt

    @property
    def token(self) -> int:
        return self.claim.token or 0

    def reference(self) -> HeldStep:
        """As it is named to the scheduler."""
        run_id, step_id, attempt = self.key
        return HeldStep(run_id=run_id, step_id=step_id, attempt=attempt, token=self.token)

    def stop(self, reason: StopReason) -> None:
        """Interrupt the execution. A result that is already there goes its way, and an attempt is stopped only once."""
        if self.stopped is not None or self.phase == "reporting":
            return
        self.stopped = reason
        # What has not begun sees `stopped` when it does; cancelling its task now would skip the report.
        if self.phase == "executing" and self.work is not None:
            self.work.cancel()


class HeldSteps:
    """All of them, by key."""

    def __init__(self) -> None:
        self._by_key: dict[Key, Held] = {}
        self._over: OrderedDict[tuple[Key, int], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Held]:
        return iter(tuple(self._by_key.values()))

    def get(self, key: Key) -> Held | None:
        return self._by_key.get(key)

    def add(self, held: Held) -> None:
        self._by_key[held.key] = held
        metrics.HELD.set(len(self._by_key))

    def remove(self, held: Held) -> None:
        if self._by_key.get(held.key) is held:
            del self._by_key[held.key]
            self._over[held.key, held.token] = None
            if len(self._over) > REMEMBERED:
                self._over.popitem(last=False)
        metrics.HELD.set(len(self._by_key))

    def is_over(self, key: Key, token: int | None) -> bool:
        """Whether an attempt was held with this token and has been seen through; of the last few thousand."""
        return (key, token) in self._over

    def stop_lost(self, lost: HeldStep) -> None:
        """Stop an attempt that went to somebody else; another token of the same attempt is left alone."""
        held = self._by_key.get((lost.run_id, lost.step_id, lost.attempt))
        if held is not None and held.token == lost.token:
            metrics.LOST.labels(cause="lost").inc()
            held.stop(StopReason.LOST)

    def stop_cancelled(self, cancel: CancelSteps) -> None:
        """Stop what a control message names: certain attempts, or all of a run."""
        named = None if cancel.steps is None else {(step.step_id, step.attempt, step.token) for step in cancel.steps}
        for held in self:
            mark = (held.task.step_id, held.task.attempt, held.token)
            if held.task.run_id == cancel.run_id and (named is None or mark in named):
                metrics.LOST.labels(cause="cancelled").inc()
                held.stop(StopReason.CANCELLED)
