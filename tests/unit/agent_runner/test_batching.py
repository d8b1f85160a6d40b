import asyncio
from collections.abc import Sequence

from station.agent_runner.batching import Batcher
from station.agent_runner.slots import Slots
from tests.support.waiting import eventually


class Sender:
    """Notes every batch, and answers when it is let to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()

    async def send(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(items))
        await self.gate.wait()
        return [item * 10 for item in items]


async def test_what_comes_together_goes_together_and_the_rest_gathers_meanwhile() -> None:
    sender = Sender()
    batcher = Batcher(sender.send, limit=3)
    first = [asyncio.create_task(batcher.put(item)) for item in (1, 2)]
    await eventually(lambda: sender.batches, pause=0)
    rest = [asyncio.create_task(batcher.put(item)) for item in (3, 4, 5, 6)]
    await asyncio.sleep(0)
    assert sender.batches == [[1, 2]]
    sender.gate.set()
    assert await asyncio.gather(*first, *rest) == [10, 20, 30, 40, 50, 60]
    assert sender.batches == [[1, 2], [3, 4, 5], [6]]


async def test_a_batch_is_never_heavier_than_allowed_unless_by_one_item() -> None:
    sender = Sender()
    sender.gate.set()
    batcher = Batcher(sender.send, limit=10, max_weight=5)
    await asyncio.gather(*(batcher.put(item, weight) for item, weight in enumerate((2, 3, 1, 9, 1))))
    assert sender.batches == [[0, 1], [2], [3], [4]]


async def test_an_error_reaches_everybody_in_the_batch_and_nobody_else() -> None:
    async def send(items: Sequence[int]) -> Sequence[int]:
        if 1 in items:
            raise ValueError("no")
        return items

    batcher = Batcher(send, limit=2)
    answers = await asyncio.gather(*(batcher.put(item) for item in (1, 2, 3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ValueError, ValueError, int]


async def test_one_that_stops_waiting_does_not_disturb_the_others() -> None:
    sender = Sender()
    batcher = Batcher(sender.send, limit=3)
    first, second = asyncio.create_task(batcher.put(1)), asyncio.create_task(batcher.put(2))
    await eventually(lambda: sender.batches, pause=0)
    first.cancel()
    sender.gate.set()
    assert await second == 20


async def test_slots_are_taken_several_at_a_time_and_waited_for() -> None:
    slots = Slots(5)
    assert await slots.take(3) == 3
    assert await slots.take(3) == 2
    waiting = asyncio.create_task(slots.take(3))
    await asyncio.sleep(0)
    assert not waiting.done()
    slots.give(4)
    assert await waiting == 3
    slots.close()
    assert await slots.take(3) == 0
