"""The Prometheus registry of this process. Every metric is named ``station_…`` and made here, once, at import."""

from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE

__all__ = ["CONTENT_TYPE", "REGISTRY", "SECONDS", "buckets", "counter", "gauge", "histogram", "render"]

REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)


def buckets(smallest: float, largest: float) -> tuple[float, ...]:
    """Limits 1-2.5-5 per power of ten, from the smallest to the largest."""
    steps = [factor * 10.0**exponent for exponent in range(-6, 10) for factor in (1.0, 2.5, 5.0)]
    return tuple(float(f"{step:.3g}") for step in steps if smallest * 0.999 <= step <= largest * 1.001)


SECONDS = buckets(0.001, 100.0)


def counter(name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
    return Counter(f"station_{name}", meaning, labels, registry=REGISTRY)


def gauge(name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
    return Gauge(f"station_{name}", meaning, labels, registry=REGISTRY)


def histogram(name: str, meaning: str, labels: Sequence[str] = (), *, limits: Sequence[float] = SECONDS) -> Histogram:
    return Histogram(f"station_{name}", meaning, labels, registry=REGISTRY, buckets=limits)


def render() -> bytes:
    """What a scrape gets."""
    return generate_latest(REGISTRY)
