"""Where every open agent attempt is: handed out and unclaimed, or held by a runner under a lease.

Leases are in memory and start anew with the scheduler, so that a restart takes nobody's work away; they are measured
with a clock that nobody sets. Dispatch back-off and lease are two things: an attempt is in exactly one of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest

import msgspec

from station.contracts.actions import AGENT_RUN
from station.contracts.statuses import StepStatus
from station.contracts.usage import Usage
from station.contracts.work import HeldStep, StepRef
from station.core.messages import HandOutAgain
from station.core.run import Step
from station.core.spending import newest
from station.runtime import metrics
from station.scheduler.engine.engine import Move
from station.scheduler.store.reader import Reader

_FIRST_PAUSE_MS = 5_000
_LONGEST_PAUSE_MS = 300_000

HELD = metrics.gauge("steps_held", "Attempts that a runner holds.")
UNCLAIMED = metrics.gauge("steps_unclaimed", "Attempts handed out and not claimed.")
QUEUE_AGE = metrics.gauge("queue_age_seconds", "Age of the attempt that has waited longest to be claimed.")

_OPEN = """
SELECT s.run_id, s.step_id, s.attempt, s.status, s.token, s.runner, s.entered_at
FROM workflow_run_steps s JOIN workflow_runs r ON r.run_id = s.run_id
WHERE s.completed_at IS NULL AND s.action = 'agent.run' AND r.completed_at IS NULL
    AND (s.status = 'RUNNING' OR (r.status != 'PAUSED' AND s.wake_at IS NULL))
"""
"""Attempts that wait for the end of a back-off are handed out by their timers."""

Key = tuple[str, str]


class Lease(msgspec.Struct):
    """A runner's hold on an attempt."""

    attempt: int
    token: int
    runner: str
    expires_at: int
    """By the steady clock."""
    usage: Usage | None = None
    """What the runner has told of it so far."""


class Dispatch(msgspec.Struct):
    """An attempt that waits to be claimed."""

    attempt: int
    since: int
    again_at: int
    """Both by the steady clock."""
    pause: int = _FIRST_PAUSE_MS
    sent: bool = True
    """Whether the stream should have its message; not when the scheduler has just started, or the stream was wiped."""


class Attempts:
    """Every open agent attempt by ``(run id, step id)``."""

    def __init__(self, now: Callable[[], int], lease_ms: int, steady: Callable[[], int] | None = None) -> None:
        self._now = now
        self._steady = steady or now
        self.lease_ms = lease_ms
        self.leases: dict[Key, Lease] = {}
        self.dispatches: dict[Key, Dispatch] = {}
        HELD.set_function(lambda: len(self.leases))
        UNCLAIMED.set_function(lambda: len(self.dispatches))
        QUEUE_AGE.set_function(self._oldest)

    async def load(self, reader: Reader) -> None:
        """Take up what the store holds and memory does not: unclaimed attempts are due now, leases start anew."""
        now, steady = self._now(), self._steady()
        for run_id, step_id, attempt, status, token, runner, entered_at in await reader.rows(_OPEN):
            key = (run_id, step_id)
            if key in self.leases or key in self.dispatches:
                continue
            if status == StepStatus.RUNNING:
                self.leases[key] = Lease(attempt, token, runner, steady + self.lease_ms)
            else:
                self.dispatches[key] = Dispatch(attempt, steady - max(0, now - entered_at), steady, sent=False)

    def committed(self, move: Move) -> None:
        """Follow what a turn did to attempts."""
        run = move.slot.run
        for step in move.steps:
            if step.action == AGENT_RUN:
                self._follow(run.run_id, step)
        steady = self._steady()
        for task in move.decision.tasks:
            dispatch = Dispatch(task.attempt, steady, steady + _FIRST_PAUSE_MS)
            self.dispatches[task.run_id, task.step_id] = dispatch
        if run.paused:
            for step_id in run.open:
                self.dispatches.pop((run.run_id, step_id), None)

    def extend(self, held: Sequence[HeldStep], usages: Sequence[Usage | None] = ()) -> tuple[HeldStep, ...]:
        """Renew the leases of a heartbeat, and give those that are no longer the sender's."""
        until, lost = self._steady() + self.lease_ms, list[HeldStep]()
        for step, usage in zip_longest(held, usages[: len(held)]):
            lease = self.lease_of(step)
            if lease is None:
                lost.append(step)
            else:
                lease.expires_at = until
                # It may have been on its way while a call was asked for and allowed.
                lease.usage = newest(lease.usage, usage)
        return tuple(lost)

    def lease_of(self, held: HeldStep) -> Lease | None:
        """Give the lease under which a runner holds an attempt; None if it does not."""
        lease = self.leases.get((held.run_id, held.step_id))
        mine = lease is not None and lease.token == held.token and lease.attempt == held.attempt
        return lease if mine else None

    def expired(self) -> list[tuple[str, HandOutAgain]]:
        """Give the message for every lease that has run out; each comes again in a while if nothing comes of it."""
        now, found = self._steady(), list[tuple[str, HandOutAgain]]()
        for (run_id, step_id), lease in self.leases.items():
            if lease.expires_at <= now:
                lease.expires_at = now + self.lease_ms
                reason = f"the lease of runner {lease.runner} ran out"
                found.append((run_id, _again(step_id, lease, reason)))
        return found

    def of_earlier_boots(self, runner: str, boot: int) -> list[tuple[str, HandOutAgain]]:
        """Give the message for every attempt that earlier boots of a runner held."""
        prefix, own = f"{runner}#", f"{runner}#{boot}"
        reason = f"runner {runner} has started anew"
        return [
            (run_id, _again(step_id, lease, reason))
            for (run_id, step_id), lease in self.leases.items()
            if lease.runner.startswith(prefix) and lease.runner != own
        ]

    def overdue(self, limit: int) -> list[tuple[StepRef, bool]]:
        """Give attempts that nobody has claimed for so long that their message may be lost, with a growing pause.

        With each, whether the stream should have had its message all that time.
        """
        now, found = self._steady(), list[tuple[StepRef, bool]]()
        for (run_id, step_id), dispatch in self.dispatches.items():
            if dispatch.again_at <= now:
                dispatch.again_at = now + dispatch.pause
                dispatch.pause = min(dispatch.pause * 2, _LONGEST_PAUSE_MS)
                found.append((StepRef(run_id=run_id, step_id=step_id, attempt=dispatch.attempt), dispatch.sent))
                dispatch.sent = True
                if len(found) == limit:
                    break
        return found

    def suspect_all(self) -> None:
        """The stream was wiped: every unclaimed attempt must be handed out again now."""
        now = self._steady()
        for dispatch in self.dispatches.values():
            dispatch.again_at, dispatch.pause, dispatch.sent = now, _FIRST_PAUSE_MS, False

    def spare_all(self) -> None:
        """Nobody can be heard: silence says nothing of a runner, and every lease has its full time again."""
        until = self._steady() + self.lease_ms
        for lease in self.leases.values():
            lease.expires_at = until

    def let_go(self, run_id: str, message: HandOutAgain) -> None:
        """A lease turned out to be of nobody: the attempt is over, or has another token."""
        lease = self.leases.get((run_id, message.step_id))
        if lease is not None and lease.token == message.token:
            del self.leases[run_id, message.step_id]

    def forget(self, ref: StepRef) -> None:
        """An attempt turned out to wait for nobody."""
        dispatch = self.dispatches.get((ref.run_id, ref.step_id))
        if dispatch is not None and dispatch.attempt == ref.attempt:
            del self.dispatches[ref.run_id, ref.step_id]

    def _follow(self, run_id: str, step: Step) -> None:
        key = (run_id, step.step_id)
        if step.status is StepStatus.RUNNING and step.token is not None:
            self.dispatches.pop(key, None)
            held = self.leases.get(key)
            if held is None or held.token != step.token:
                until = self._steady() + self.lease_ms
                self.leases[key] = Lease(step.attempt, step.token, step.runner or "", until)
        else:
            lease = self.leases.get(key)
            if lease is not None and lease.attempt <= step.attempt:
                del self.leases[key]
            dispatch = self.dispatches.get(key)
            if dispatch is not None and dispatch.attempt <= step.attempt:
                del self.dispatches[key]

    def handed_out(self, ref: StepRef) -> bool:
        """Whether an attempt waits to be claimed."""
        dispatch = self.dispatches.get((ref.run_id, ref.step_id))
        return dispatch is not None and dispatch.attempt == ref.attempt

    def waited_ms(self) -> int:
        """How long the attempt that was handed out first has waited to be claimed."""
        first = next(iter(self.dispatches.values()), None)
        return 0 if first is None else max(0, self._steady() - first.since)

    def _oldest(self) -> float:
        oldest = min((dispatch.since for dispatch in self.dispatches.values()), default=None)
        return 0.0 if oldest is None else max(0.0, (self._steady() - oldest) / 1000)


def _again(step_id: str, lease: Lease, reason: str) -> HandOutAgain:
    return HandOutAgain(step_id=step_id, attempt=lease.attempt, token=lease.token, reason=reason, usage=lease.usage)
