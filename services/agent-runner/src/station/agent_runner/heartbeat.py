"""Keeps what is held alive: the lease at the scheduler, and the message at the broker.

The rule: three beats per lease, as long as an attempt is held, its report included.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TypeVar

from nats import errors as nats_errors
from nats.aio.msg import Msg

from station.agent_runner.held import Held, HeldSteps
from station.agent_runner.scheduler import Scheduler
from station.agent_runner.spool import Identity
from station.contracts import subjects
from station.contracts.work import Heartbeat, HeartbeatAnswer
from station.runtime.errors import Refused, Unavailable
from station.runtime.logging import get_logger

log = get_logger("heartbeat")
T = TypeVar("T")
LEASE_SECONDS = 15.0
"""Until the first claim says how long a lease really is."""
SHORTEST_BEAT = 0.05
CHUNK = 1000


class Heartbeats:
    """Beats for everything in the table, for ever."""

    def __init__(self, scheduler: Scheduler, identity: Identity, held: HeldSteps) -> None:
        self._scheduler = scheduler
        self._identity = identity
        self._held = held
        self._lease = LEASE_SECONDS
        self._shorter = asyncio.Event()

    def expect(self, lease_seconds: float | None) -> None:
        """A claim came with this lease."""
        if lease_seconds is None or lease_seconds == self._lease:
            return
        if lease_seconds < self._lease:
            self._shorter.set()
        self._lease = lease_seconds

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._shorter.wait(), max(self._lease / 3, SHORTEST_BEAT))
            self._shorter.clear()
            await self.beat()

    async def beat(self) -> None:
        """One beat. Attempts that the scheduler no longer counts as ours are stopped."""
        for chunk in _chunks(tuple(self._held), CHUNK):
            await asyncio.gather(
                self._tell(chunk), _keep_messages([held.message for held in chunk if held.message is not None])
            )

    async def _tell(self, chunk: Sequence[Held]) -> None:
        steps = tuple(held.reference() for held in chunk)
        usages = tuple(held.meter.usage for held in chunk)
        message = Heartbeat(
            runner=self._identity.runner,
            boot=self._identity.boot,
            steps=steps,
            usages=usages if any(usages) else (),
        )
        try:
            answer = await self._scheduler.ask_once(subjects.STEP_HEARTBEAT, message, HeartbeatAnswer)
        except Unavailable:
            return  # the next beat comes soon, and the report is fenced if it comes too late
        except Refused as refused:
            log.error("heartbeat_refused", code=refused.failure.code, detail=refused.failure.detail)
            return
        for lost in answer.lost:
            self._held.stop_lost(lost)


async def _keep_messages(messages: Sequence[Msg]) -> None:
    for message in messages:
        with contextlib.suppress(nats_errors.Error):
            await message.in_progress()


def _chunks(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
