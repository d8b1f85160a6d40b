"""The report of one campaign, for people and as JSON."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from tests.chaos_rig.killer import Done
from tests.chaos_rig.laws import Violation
from tests.chaos_rig.machine import Machine
from tests.chaos_rig.recovery import Spread
from tests.support.gauges import Extent

SHOWN = 3
LONGEST = 1500


class Faults(Struct, frozen=True):
    total: int
    a_second: float
    by_kind: dict[str, int]
    by_victim: dict[str, int]
    wipes: int
    missed: int
    """Drawn, but the victim was down already."""


class Runs(Struct, frozen=True):
    started: int
    completed: int
    """Ended as their stories say."""
    stuck: int
    lost: int
    events: int


class Report(Struct, frozen=True, kw_only=True, rename="camel"):
    seed: int
    seconds: float
    """How long there were faults."""
    settled_seconds: float | None
    """From the last fault to the end of the last run with an empty outbox; None: not within the bound."""
    drained_seconds: float
    """How long the stream of tasks was not empty after that: what was not acknowledged is delivered again."""
    faults: Faults
    runs: Runs
    acknowledged_writes: int
    acknowledged_writes_lost: int
    successes_recorded_twice: int
    executions: int
    outside_effects_twice: int
    effects_twice_because: dict[str, int]
    sse_clients: int
    sse_connections: int
    requests: int
    request_retries: int
    recovery_single: dict[str, Spread]
    """Milliseconds to the next progress, after faults that came one at a time."""
    recovery_many: dict[str, Spread]
    """The same in the thick of it, where the next fault comes before the recovery from the last."""
    schedule: list[Done]
    """Every fault: what, when, and when the victim was back; milliseconds since 1970."""
    gauges: dict[str, Extent]
    """What the scheduler's metrics said from the first fault until everything was empty."""
    samples: int
    machine: Machine
    not_tried: tuple[str, ...]
    violations: list[Violation]

    @property
    def sound(self) -> bool:
        return not self.violations


def count(done: Sequence[Done], seconds: float, missed: int) -> Faults:
    """Faults by kind and victim."""
    kinds = Counter(one.fault.kind for one in done)
    return Faults(
        total=len(done),
        a_second=round(len(done) / seconds, 2) if seconds else 0.0,
        by_kind=dict(kinds.most_common()),
        by_victim=dict(Counter(one.fault.victim for one in done).most_common()),
        wipes=kinds["wipe"] + kinds["kill_and_wipe_all"],
        missed=missed,
    )


def write(report: Report, path: Path) -> None:
    """Write it as JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def show(report: Report) -> str:
    """The report as lines of text."""
    lines = [f"{name:<26}{text}" for name, text in (*_first(report), *_figures(report))]
    lines += [f"{'queues':<32}     most   at the end", *(_extent(*each) for each in report.gauges.items())]
    for title, found in (("one fault at a time", report.recovery_single), ("under fire", report.recovery_many)):
        lines.append(f"{'recovery, ' + title:<32}count    p50    p99    max ms")
        for name, one in found.items():
            lines.append(f"  {name:<30}{one.count:5}{one.p50:7}{one.p99:7}{one.max:7}")
    lines.append(f"{'violations':<26}{len(report.violations)}")
    lines += _shown(report.violations)
    return "\n".join(lines)


def _first(report: Report) -> Iterator[tuple[str, str]]:
    faults, machine = report.faults, report.machine
    probe = machine.fsync_microseconds
    yield "seed", f"{report.seed}, commit {machine.commit}"
    yield "machine", f"{machine.cores} cores, {machine.system}, Python {machine.python}"
    yield "fsync of 4 KiB", f"p50 {probe.p50} us, p99 {probe.p99} us"
    yield "faults", f"{faults.total} in {report.seconds:.0f} s, {faults.a_second} a second"
    yield "  by kind", _counts(faults.by_kind)
    yield "  by victim", _counts(faults.by_victim)
    yield "  without a victim", f"{faults.missed}, which was down already"
    yield "  JetStream wiped", str(faults.wipes)
    yield "  not tried", ", ".join(report.not_tried)


def _figures(report: Report) -> Iterator[tuple[str, str]]:
    runs = report.runs
    settled = "NOT SETTLED" if report.settled_seconds is None else f"{report.settled_seconds:.1f} s"
    again = f", because {_counts(report.effects_twice_because)}" if report.outside_effects_twice else ""
    yield "runs", f"{runs.started} started, {runs.completed} completed, {runs.stuck} stuck, {runs.lost} lost"
    yield "events", str(runs.events)
    yield "acknowledged writes", f"{report.acknowledged_writes}, lost {report.acknowledged_writes_lost}"
    yield "successes recorded twice", str(report.successes_recorded_twice)
    yield "outside effects", f"{report.executions}, again {report.outside_effects_twice}{again}"
    yield "event stream clients", f"{report.sse_clients}, connections {report.sse_connections}"
    yield "HTTP requests", f"{report.requests}, sent again {report.request_retries}"
    yield "over after the last fault", settled
    yield "stream empty after that", f"{report.drained_seconds} s"
    yield "samples of the metrics", str(report.samples)


def _extent(name: str, found: Extent) -> str:
    return f"  {name.replace('_', ' '):<30}{found.most:9,.1f}{found.last:13,.1f}"


def _shown(violations: Sequence[Violation]) -> Iterator[str]:
    """The first few of each kind; all of them are in the JSON."""
    kinds: dict[str, list[Violation]] = {}
    for violation in violations:
        kinds.setdefault(violation.check, []).append(violation)
    for check, found in kinds.items():
        yield f"  {check}: {len(found)}"
        yield from (f"    {violation.subject}: {violation.detail[-LONGEST:]}" for violation in found[:SHOWN])


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in found.items())
