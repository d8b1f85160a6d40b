"""Collects what comes together and hands it on in one go; while one batch is under way the next one gathers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


class _Waiting(NamedTuple, Generic[In, Out]):
    item: In
    weight: int
    answer: asyncio.Future[Out]


class Batcher(Generic[In, Out]):
    """``put`` answers when the batch that the item went with is done.

    ``send`` gets up to ``limit`` items in order, of ``max_weight`` together unless a single one is heavier, and returns
    one answer for each; what it raises, every item of its batch gets. Nothing waits for a clock: a batch leaves at the
    end of the loop's turn in which its first item came, unless ``lanes`` of them are under way.
    """

    def __init__(
        self,
        send: Callable[[Sequence[In]], Awaitable[Sequence[Out]]],
        *,
        limit: int,
        lanes: int = 1,
        max_weight: int = 4 << 20,
    ) -> None:
        self._send = send
        self._limit = limit
        self._max_weight = max_weight
        self._free_lanes = lanes
        self._waiting: list[_Waiting[In, Out]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def put(self, item: In, weight: int = 0) -> Out:
        """Send the item with those that come at the same time."""
        answer: asyncio.Future[Out] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(item, weight, answer))
        if self._free_lanes:
            self._free_lanes -= 1
            task = asyncio.create_task(self._lane())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return await answer

    async def _lane(self) -> None:
        try:
            await asyncio.sleep(0)  # the rest of this turn of the loop joins in
            while self._waiting:
                await self._deliver(self._next())
        finally:
            self._free_lanes += 1

    def _next(self) -> Sequence[_Waiting[In, Out]]:
        count, weight = 1, self._waiting[0].weight
        for waiting in self._waiting[1 : self._limit]:
            weight += waiting.weight
            if weight > self._max_weight:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    async def _deliver(self, batch: Sequence[_Waiting[In, Out]]) -> None:
        try:
            answers = await self._send([waiting.item for waiting in batch])
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait, each of whom gets it
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(error)
            return
        for waiting, given in zip(batch, answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(given)
