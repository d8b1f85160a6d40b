"""Looks at the scheduler's metrics while it lasts: how far the outbox and the queue fell behind."""

import threading

from msgspec import Struct

from tests.chaos_rig.fleet import Fleet

LOOK_SECONDS = 0.5


class Worst(Struct):
    """The largest figure of each kind that was seen."""

    outbox_depth: float = 0
    outbox_age_seconds: float = 0
    queue_age_seconds: float = 0
    steps_unclaimed: float = 0
    samples: int = 0


class Sampler:
    """A thread of its own, so that a scheduler that does not answer holds nobody up."""

    def __init__(self, fleet: Fleet) -> None:
        self.worst = Worst()
        self.latest: dict[str, float] = {}
        self._fleet = fleet
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="gauges", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(10)

    def _work(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self.latest = self._fleet.metrics("scheduler")
            if not self.latest:
                continue
            self.worst.samples += 1
            for name in ("outbox_depth", "outbox_age_seconds", "queue_age_seconds", "steps_unclaimed"):
                setattr(self.worst, name, max(getattr(self.worst, name), self.latest.get(f"station_{name}", 0.0)))
