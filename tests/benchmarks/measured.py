"""One round of one workload: its figures, and what the processes took meanwhile."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tests.benchmarks.figures import latencies
from tests.benchmarks.usage import Usage


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """``figures`` by the names of `figures.FIGURES`."""

    figures: dict[str, float]
    usage: Usage
    details: dict[str, Any] = {}
    """What is not in the table."""


GAUGES = "gauges"
"""The member of the details that holds the most and the last of each gauge."""
COMPARED = "compared"
"""The member of the details that holds what was measured in two situations."""


class Compared(msgspec.Struct, frozen=True):
    """Milliseconds before and after."""

    what: str
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """Above 1: it has grown."""
        return self.after / self.before


def round_of(usage: Usage, figures: dict[str, float], **details: Any) -> Round:
    """Figures that do not count steps."""
    common = {"peak_rss_mb": usage.peak_rss_total_mb, "other_cpu_share": usage.other_cpu_share}
    return Round(figures=figures | common, usage=usage, details=details)


def timed_round(usage: Usage, seconds: Sequence[float], *, steps: int, rates: bool = False) -> Round:
    """Figures of runs that were each timed; ``rates``: how many there were per second means something."""
    figures: dict[str, float] = {}
    if rates:
        figures |= {"runs_per_s": len(seconds) / usage.elapsed_s, "steps_per_s": steps / usage.elapsed_s}
    figures |= latencies(seconds)
    figures["cpu_s_per_1000_steps"] = usage.cpu_total_s / steps * 1000
    each = {name: used / steps * 1000 for name, used in usage.cpu_s.items()}
    return round_of(usage, figures, cpu_s_per_1000_steps_by_process=each)
