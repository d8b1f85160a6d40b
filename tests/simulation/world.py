"""A world with a clock of its own and one source of chance: what happens is decided by the seed alone."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from random import Random
from typing import Any

START = 1_700_000_000_000
Action = Callable[[], None]


class Away(Exception):
    """Whoever was asked is not there, or died over it."""


class World:
    """Actions in the order of their moments, and a network that loses, repeats, delays and reorders."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = START
        self.calm = False
        """Whether nothing goes wrong any more."""
        self.cut_until = 0
        self._heap: list[tuple[int, int, Action]] = []
        self._numbers = itertools.count()

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

    def chance(self, probability: float) -> bool:
        """Tell whether something goes wrong now."""
        return not self.calm and self.random.random() < probability

    def run(self, until: int, done: Callable[[], bool] = lambda: False) -> None:
        """Let time pass until a moment, or until something is the case."""
        while self._heap and self._heap[0][0] <= until and not done():
            at, _, action = heapq.heappop(self._heap)
            self.now = max(self.now, at)
            action()
        if not done():
            self.now = max(self.now, until)

    def ask(
        self,
        question: Callable[[], Any],
        answered: Callable[[Any], None] = lambda _: None,
        *,
        again_while: Callable[[], bool] | None = None,
    ) -> None:
        """Send a request over the network. With ``again_while`` it is repeated until its answer has come."""
        settled: list[bool] = []
        wanted = again_while or (lambda: False)

        def answer(value: Any) -> None:
            if not settled:
                settled.append(True)
                answered(value)

        def arrive() -> None:
            try:
                value = question()
            except Away:
                return
            if not self._lost():
                self.after(self._latency(), lambda: answer(value))

        def send() -> None:
            for _ in range(2 if self.chance(0.05) else 1):
                if not self._lost():
                    self.after(self._latency(), arrive)
            if again_while is not None:
                self.after(2_000, lambda: send() if not settled and wanted() else None)

        send()

    def _lost(self) -> bool:
        return self.now < self.cut_until or self.chance(0.05)

    def _latency(self) -> int:
        return self.random.choice([500, 4_000]) if self.chance(0.05) else self.random.randrange(1, 20)
