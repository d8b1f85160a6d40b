"""A world with a clock of its own and one source of chance: what happens is decided by the seed alone."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable
from random import Random

START = 1_700_000_000_000
Action = Callable[[], None]


class World:
    """Actions in the order of their moments, and a network that loses, repeats, delays and reorders."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = START
        self.calm = False
        """Whether nothing goes wrong any more."""
        self.cut_until = 0
        self.troubles: Counter[str] = Counter()
        """What has gone wrong so far, by kind."""
        self.broken: Exception | None = None
        """What somebody has seen who could not raise it: product code keeps what its watchers and tasks raise."""
        self._heap: list[tuple[int, int, Action]] = []
        self._numbers = itertools.count(1)
        self._ids = itertools.count(1)
        self._last_due = 0

    def new_id(self, prefix: str) -> str:
        """As ``station.runtime.ids.new_id`` makes them, but the same every time a seed is played."""
        return f"{prefix}_{next(self._ids):026d}"

    def after(self, delay_ms: int, action: Action) -> None:
        """Have something happen in a while."""
        heapq.heappush(self._heap, (self.now + delay_ms, next(self._numbers), action))

    def every(self, period_ms: int, action: Action, while_: Callable[[], bool] = lambda: True) -> None:
        """Have something happen again and again, as long as a condition holds."""

        def tick() -> None:
            if while_():
                action()
                self.after(period_ms, tick)

        self.after(self.random.randrange(period_ms), tick)

    def chance(self, probability: float, trouble: str) -> bool:
        """Tell whether something goes wrong now, and count it."""
        if self.calm or self.random.random() >= probability:
            return False
        self.troubles[trouble] += 1
        return True

    def run(self, until: int, done: Callable[[], bool] = lambda: False) -> None:
        """Let time pass until a moment, or until something is the case."""
        heap = self._heap
        while heap and heap[0][0] <= until and not done():
            at, _, action = heapq.heappop(heap)
            self.now = max(self.now, at)
            action()
            if self.broken is not None:
                raise self.broken
        if not done():
            self.now = max(self.now, until)

    def cut(self, duration_ms: int) -> None:
        """Nothing gets anywhere for a while."""
        self.cut_until = self.now + duration_ms

    @property
    def connected(self) -> bool:
        return self.now >= self.cut_until

    def send(self, arrive: Action) -> None:
        """Carry a message over the network: it may get lost, come twice, late, and after others sent later."""
        for _ in range(2 if self.chance(0.05, "duplicate") else 1):
            if not self.connected:
                self.troubles["cut"] += 1
            elif not self.chance(0.05, "drop"):
                delay = self.random.choice([500, 4_000]) if self.chance(0.05, "delay") else self.random.randrange(1, 20)
                due = self.now + delay
                self.troubles["reorder"] += due < self._last_due and not self.calm
                self._last_due = max(due, self._last_due)
                self.after(delay, arrive)
