"""Telling runners to stop attempts that no longer count. Best effort: their next heartbeat tells them too."""

from __future__ import annotations

import asyncio

from station.contracts import subjects
from station.contracts.work import CancelSteps, HeldStep
from station.runtime.bus import Bus
from station.runtime.errors import Unavailable
from station.runtime.logging import get_logger
from station.scheduler.engine.engine import Move

log = get_logger("stops")


class Stops:
    """Publishes the stops of committed turns."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._tasks: set[asyncio.Task[None]] = set()

    def committed(self, move: Move) -> None:
        """Tell the runners of a turn's stops."""
        if not move.decision.stops:
            return
        run_id = move.slot.run.run_id
        held = tuple(
            HeldStep(run_id=run_id, step_id=stop.step_id, attempt=stop.attempt, token=stop.token)
            for stop in move.decision.stops
        )
        task = asyncio.create_task(self._publish(CancelSteps(run_id=run_id, steps=held)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _publish(self, message: CancelSteps) -> None:
        try:
            await self._bus.publish(subjects.control_cancel(message.run_id), message)
        except Unavailable as error:
            log.info("stop_not_sent", run_id=message.run_id, detail=str(error))
