"""Looks at the scheduler's metrics again and again while a system works: what its queues held."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import msgspec
from msgspec import Struct

from tests.support.chart import Lane, Line, Panel, draw

SECONDS = 5.0
"""Within which a scheduler that lives answers, and the sampler ends."""


class Shown(Struct, frozen=True):
    """Gauges of one unit, each with what it says."""

    title: str
    unit: str
    gauges: Mapping[str, str]


SHOWN = (
    Shown("Queue age", "seconds", {"queue_age_seconds": "the oldest step that nobody has claimed"}),
    Shown("Outbox depth", "turns", {"outbox_depth": "committed, not yet with the broker"}),
    Shown("Outbox age", "seconds", {"outbox_age_seconds": "the oldest of them"}),
    Shown("Consumer lag", "messages", {"consumer_lag": "not delivered", "consumer_unacked": "not acknowledged"}),
    Shown("Steps in flight", "steps", {"steps_held": "held by a runner", "steps_unclaimed": "not claimed"}),
    Shown("Runs in flight", "runs", {"runs_open": "not ended"}),
)
GAUGES = tuple(name for shown in SHOWN for name in shown.gauges)
LAGS = frozenset({"consumer_lag", "consumer_unacked"})


class Sample(Struct, frozen=True):
    """``at``: seconds since the sampler began. ``gauges``: empty while the scheduler did not answer."""

    at: float
    gauges: dict[str, float]


class Extent(Struct, frozen=True):
    """The largest value that was seen, and the last."""

    most: float
    last: float


class Sampler:
    """Samples from a thread of its own, so that a scheduler that does not answer holds nobody up."""

    def __init__(self, data_dir: Path, seconds: float) -> None:
        """Look every so many seconds at the scheduler whose data directory this is."""
        self.samples: list[Sample] = []
        self._where = data_dir / "run" / "scheduler.json"
        self._seconds = seconds
        self.began = time.monotonic()
        self._over = threading.Event()
        self._sampled = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="gauges", daemon=True)
        self._thread.start()

    @property
    def latest(self) -> dict[str, float]:
        """Of the last look."""
        return self.samples[-1].gauges if self.samples else {}

    def now(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    def wait_empty(self, seconds: float, without: frozenset[str] = frozenset()) -> dict[str, float | None]:
        """Nothing, once all are 0; what is not, or is not known, once so many seconds are over."""
        deadline = time.monotonic() + seconds
        with self._sampled:
            while True:
                values = {name: self.latest.get(name) for name in GAUGES if name not in without}
                held = {name: value for name, value in values.items() if value != 0}
                left = deadline - time.monotonic()
                if not held or left <= 0:
                    return held
                self._sampled.wait(left)

    def stop(self) -> None:
        self._over.set()
        self._thread.join(SECONDS)

    def extents(self) -> dict[str, Extent]:
        """By gauge; those that were never seen are left out."""
        found: dict[str, Extent] = {}
        for name in GAUGES:
            known = [sample.gauges[name] for sample in self.samples if name in sample.gauges]
            if known:
                found[name] = Extent(max(known), known[-1])
        return found

    def write(self, path: Path, title: str, lanes: Sequence[Lane] = (), note: str = "") -> None:
        """The samples as JSON lines in ``<path>.jsonl``, and as a figure in ``<path>.svg``."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".jsonl").write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in self.samples))
        path.with_suffix(".svg").write_text(draw(title, *self._drawn(), lanes, note), encoding="utf-8")

    def _drawn(self) -> tuple[list[float], list[Panel]]:
        panels = [
            Panel(
                shown.title,
                shown.unit,
                [Line(label, [one.gauges.get(name) for one in self.samples]) for name, label in shown.gauges.items()],
            )
            for shown in SHOWN
        ]
        return [sample.at for sample in self.samples], panels

    def _work(self) -> None:
        with httpx.Client(timeout=1) as client:
            while not self._over.wait(self._seconds):
                at = round(self.now(), 2)
                gauges = self._look(client)
                with self._sampled:
                    self.samples.append(Sample(at, gauges))
                    self._sampled.notify_all()

    def _look(self, client: httpx.Client) -> dict[str, float]:
        with contextlib.suppress(OSError, msgspec.MsgspecError, httpx.HTTPError, KeyError, ValueError):
            where = msgspec.json.decode(self._where.read_bytes())
            return gauges_in(client.get(f"{where['url']}/metrics").text)
        return {}


def gauges_in(text: str) -> dict[str, float]:
    """Our gauges in a page of metrics, each the sum over its labels."""
    found: dict[str, float] = {}
    for name, value in _figures(text):
        if name in GAUGES:
            found[name] = found.get(name, 0.0) + value
    return found


def _figures(text: str) -> Iterator[tuple[str, float]]:
    for line in text.splitlines():
        if line.startswith("station_"):
            name, _, value = line.rpartition(" ")
            yield name.partition("{")[0].removeprefix("station_"), float(value)
