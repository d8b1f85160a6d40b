"""Numbers out of measurements: percentiles, medians of rounds, and what each figure is called and should be."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

OTHER_CPU_LIMIT = 0.05
"""A round in which other programs took more of the machine than this says little."""

Better = Literal["higher", "lower"]


class Figure(msgspec.Struct, frozen=True):
    """How a figure is shown, and which way is better; None: it is a fact, not a merit."""

    label: str
    better: Better | None = "lower"


FIGURES: Mapping[str, Figure] = {
    "runs_per_s": Figure("runs/s", "higher"),
    "steps_per_s": Figure("steps/s", "higher"),
    "states_per_s": Figure("chain states/s", "higher"),
    "items_per_s": Figure("items/s", "higher"),
    "p50_ms": Figure("p50 ms"),
    "p95_ms": Figure("p95 ms"),
    "p99_ms": Figure("p99 ms"),
    "cpu_s_per_1000_steps": Figure("CPU s/1,000 steps"),
    "peak_rss_mb": Figure("peak RSS MB"),
    "completed": Figure("completed", None),
    "steps_at_kill": Figure("steps at kill", None),
    "restart_ready_s": Figure("ready after s"),
    "restart_to_all_complete_s": Figure("all complete after s"),
    "steps_repeated": Figure("steps handed out again"),
    "starts_per_s": Figure("starts/s", "higher"),
    "kb_per_parked_run": Figure("RSS KB/run"),
    "scheduler_kb_per_parked_run": Figure("scheduler RSS KB/run"),
    "database_kb_per_parked_run": Figure("database KB/run"),
    "idle_cpu_share": Figure("idle CPU share"),
    "signal_p50_ms": Figure("signal→end p50 ms"),
    "item_ms_early": Figure("ms/item early"),
    "item_ms_late": Figure("ms/item late"),
    "late_to_early": Figure("late/early"),
    "full_to_empty": Figure("worst full/empty"),
    "parked_to_few": Figure("signal parked/few"),
    "in_flight_to_few": Figure("steps/s many/few", "higher"),
    "other_cpu_share": Figure("other CPU", None),
}


class Floor(msgspec.Struct, frozen=True):
    """The least that a figure has to reach."""

    limit: float
    better: Better = "lower"

    def holds(self, value: float) -> bool:
        """Whether the value is as good as the limit, or better."""
        return value >= self.limit if self.better == "higher" else value <= self.limit


FLOORS: Mapping[str, Mapping[str, Floor]] = {
    "W1": {"steps_per_s": Floor(1_014, "higher"), "cpu_s_per_1000_steps": Floor(1.52)},
    "W2": {"p50_ms": Floor(15)},
    "W3": {"p50_ms": Floor(60)},
    "W4": {"p50_ms": Floor(5)},
    "W5": {"restart_to_all_complete_s": Floor(3)},
    "W6": {"starts_per_s": Floor(1_000, "higher"), "kb_per_parked_run": Floor(20), "idle_cpu_share": Floor(0.03)},
    "W7": {"late_to_early": Floor(1.3)},
    "SCALE": {
        "full_to_empty": Floor(1.3),
        "parked_to_few": Floor(1.3),
        "in_flight_to_few": Floor(0.8, "higher"),
        "kb_per_parked_run": Floor(20),
    },
}
"""Those of W1 are 1.1 times the rate and 0.8 times the CPU of a peer that also hands each step to another process."""


def percentile(values: Sequence[float], percent: float) -> float:
    """Between the two nearest values, in proportion. Raises ValueError without values."""
    if not values:
        raise ValueError("there is no percentile of nothing")
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def latencies(seconds: Sequence[float]) -> dict[str, float]:
    """The three usual percentiles, in milliseconds."""
    return {f"p{percent}_ms": percentile(seconds, percent) * 1e3 for percent in (50, 95, 99)}


def is_disturbed(figures: Mapping[str, float]) -> bool:
    """Whether other programs took too much of the machine meanwhile."""
    return figures.get("other_cpu_share", 0.0) > OTHER_CPU_LIMIT


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Each figure's median over the undisturbed rounds; over all of them when every one was disturbed."""
    used = [figures for figures in rounds if not is_disturbed(figures)] or rounds
    names = list(dict.fromkeys(name for figures in used for name in figures))
    return {name: statistics.median([each[name] for each in used if name in each]) for name in names}


def shown(value: float) -> str:
    """Three digits, or all of those before the point."""
    size = abs(value)
    digits = 0 if size >= 100 or value == int(value) else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{digits}f}"
