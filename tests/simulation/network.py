"""Requests over the network of the world: sent again until their answer has come, as every client of ours does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulation.process import Process
from tests.simulation.scheduler import Question, SimulatedScheduler
from tests.simulation.world import World

AGAIN_MS = 2_000


class Network:
    """Brings questions to the scheduler and answers back."""

    def __init__(self, world: World, scheduler: SimulatedScheduler) -> None:
        self._world, self._scheduler = world, scheduler

    async def ask(
        self,
        process: Process,
        question: Question,
        *,
        tries: int = 1_000_000,
        seen: Callable[[Any], None] = lambda _: None,
    ) -> Any:
        """Give the first answer that arrives, or None after so many tries; ``seen`` gets each that arrives."""
        world, future = self._world, process.create_future()

        def settle(value: Any) -> None:
            if not process.dead:
                seen(value)
                if not future.done():
                    future.set_result(value)

        def answered(value: Any) -> None:
            world.send(lambda: settle(value))

        def send(left: int) -> None:
            if process.dead or future.done():
                return
            if left == 0:
                settle(None)
                return
            world.troubles["sent again"] += left < tries
            world.send(lambda: self._scheduler.receive(question, answered))
            world.after(AGAIN_MS, lambda: send(left - 1))

        send(tries)
        return await future
