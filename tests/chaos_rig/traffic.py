"""All clients together, in a thread with a loop of its own: they must not notice more of the chaos than time."""

import asyncio
import random
import threading
from collections.abc import Coroutine
from typing import Any

from tests.chaos_rig.api import Api
from tests.chaos_rig.bus_client import BusClient
from tests.chaos_rig.deciders import Deciders
from tests.chaos_rig.ledger import Begun, Ledger
from tests.chaos_rig.players import Player
from tests.chaos_rig.stories import stories
from tests.chaos_rig.watching import Seen, follow, watcher

WATCHED = 0.3
MOST_WATCHED = 60


class Traffic:
    """Keeps ``in_flight`` runs going until told that it is enough; the rest ends by itself."""

    def __init__(self, *, url: str, nats_url: str, seed: int, in_flight: int) -> None:
        self.ledger = Ledger()
        self.seen: list[Seen] = []
        self.failure: BaseException | None = None
        self._url, self._nats_url = url, nats_url
        self._seed, self._in_flight = seed, in_flight
        self._rng = random.Random(f"traffic {seed}")
        self._enough = threading.Event()
        self._give_up = threading.Event()
        self._watching = 0
        self._thread = threading.Thread(target=self._work, name="traffic", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def enough(self) -> None:
        """Begin no more runs."""
        self._enough.set()

    def wait(self, seconds: float) -> bool:
        """Whether everything has come to its end within that time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def give_up(self) -> None:
        """Stop waiting for what does not end."""
        self._give_up.set()
        self._thread.join(30)

    def _work(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:  # noqa: BLE001 - it is raised again by whoever reads it
            self.failure = error

    async def _run(self) -> None:
        api = Api(self._url, self.ledger, self._rng)
        bus = await BusClient.connect(self._nats_url)
        playing = asyncio.create_task(self._play(api, bus))
        deciding = asyncio.create_task(Deciders(api, bus, self.ledger, self._rng).run())
        while not self._give_up.is_set() and not playing.done() and not deciding.done():
            await asyncio.wait({playing, deciding}, timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
        failed = [task.exception() for task in (playing, deciding) if task.done()]
        for task in (playing, deciding):
            task.cancel()
        await asyncio.gather(playing, deciding, return_exceptions=True)
        await bus.close()
        await api.http.aclose()
        for error in failed:
            if error is not None:
                raise error

    async def _play(self, api: Api, bus: BusClient) -> None:
        player, tell = Player(api, bus, self.ledger, self._rng), stories(self._seed)
        slots = asyncio.Semaphore(self._in_flight)
        number = 0
        async with asyncio.TaskGroup() as group:
            while not self._enough.is_set():
                if slots.locked():
                    await asyncio.sleep(0.05)
                    continue
                await slots.acquire()
                number += 1
                begun = player.begin(f"c{self._seed}-{number}", tell())
                group.create_task(self._live(group, api, player, begun, slots))

    async def _live(
        self, group: asyncio.TaskGroup, api: Api, player: Player, begun: Begun, slots: asyncio.Semaphore
    ) -> None:
        try:
            await player.start(begun)
            if begun.run_id and self._watching < MOST_WATCHED and self._rng.random() < WATCHED:
                seen = watcher(begun.run_id, self._rng)
                self.seen.append(seen)
                group.create_task(self._watch(follow(api, begun.run_id, self._rng, seen)))
            await player.play(begun)
        finally:
            slots.release()

    async def _watch(self, following: Coroutine[Any, Any, None]) -> None:
        self._watching += 1
        try:
            await following
        finally:
            self._watching -= 1
