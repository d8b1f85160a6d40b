"""Shows results as text: the machine, a block per workload, and the comparison with a peer."""

from collections.abc import Iterator, Mapping, Sequence

from tests.benchmarks.figures import FIGURES, FLOORS, OTHER_CPU_LIMIT, is_disturbed, shown
from tests.benchmarks.machine import Machine
from tests.benchmarks.measured import COMPARED, GAUGES, Compared, Round
from tests.benchmarks.session import Result
from tests.support.gauges import Extent

PROCESS_COLUMNS = ("process", "CPU s", "CPU s/1,000 steps", "peak RSS MB")
_PER_STEP = "cpu_s_per_1000_steps_by_process"


def machine_lines(machine: Machine) -> Iterator[str]:
    """Two lines about where it ran, and a warning if the disk is none."""
    sync = f"fdatasync p50 {machine.fdatasync_p50_ms:.3f} ms, p99 {machine.fdatasync_p99_ms:.3f} ms"
    hardware = f"{machine.cores} cores, {machine.memory_gib:.1f} GiB, Linux {machine.kernel}, {machine.filesystem}"
    yield f"{hardware}, {sync}, load {machine.load1:.2f}"
    yield f"Python {machine.python}, SQLite {machine.sqlite}, nats-server {machine.nats}, commit {machine.commit}"
    if machine.filesystem in {"tmpfs", "ramfs"}:
        yield "warning: the data directories are in memory; name one on a disk with --directory"


def result_lines(result: Result, *, full: bool) -> Iterator[str]:
    """One block. Floors are shown for the full scale only."""
    yield ""
    yield f"{result.workload}  {result.title}"
    names = [name for name in FIGURES if name in result.medians]
    rows = [[_round_label(number, each), *_cells(names, each.figures)] for number, each in enumerate(result.rounds, 1)]
    if len(rows) > 1:
        rows.append(["median", *_cells(names, result.medians)])
    floors = FLOORS.get(result.workload, {}) if full else {}
    if floors:
        rows.append(["floor", *[_floor(result, name) if name in floors else "" for name in names]])
    yield from lines_of(["", *[FIGURES[name].label for name in names]], rows)
    if any(is_disturbed(each.figures) for each in result.rounds):
        yield f"  * others took more than {OTHER_CPU_LIMIT:.0%} of the machine; in the median only if all rounds are"
    yield from _compared_lines(result)
    yield from _gauge_lines(result)
    yield from _process_lines(result)


def lines_of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table with the first column to the left and the others to the right."""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    for row in [head, *rows]:
        cells = [row[0].ljust(widths[0]), *[cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]]
        yield ("  " + "  ".join(cells)).rstrip()


def comparison_lines(peer: str, ours: Mapping[str, Result], theirs: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """What both have measured, side by side; above 1 the ratio says how many times better Station is."""
    yield ""
    yield f"Station and {peer}, medians of the same session"
    rows: list[list[str]] = []
    for workload, result in ours.items():
        for name, value in result.medians.items():
            other, better = theirs.get(workload, {}).get(name), FIGURES[name].better
            if other is None or better is None:
                continue
            rows.append([f"{workload} {FIGURES[name].label}", shown(value), shown(other), _ratio(value, other, better)])
    yield from lines_of(["", "Station", peer, "times better"], rows)
    if "W5" in ours and "W5" in theirs:
        yield "  Of Station every step that was claimed twice is counted, of the peer those that were executed twice."


def _ratio(ours: float, theirs: float, better: str) -> str:
    above, below = (ours, theirs) if better == "higher" else (theirs, ours)
    if below <= 0 or above < 0:
        return "-"
    return f"{above / below:.2f}"


def _round_label(number: int, each: Round) -> str:
    return f"round {number}" + (" *" if is_disturbed(each.figures) else "")


def _cells(names: Sequence[str], figures: Mapping[str, float]) -> list[str]:
    return [shown(figures[name]) if name in figures else "" for name in names]


def _floor(result: Result, name: str) -> str:
    floor = FLOORS[result.workload][name]
    sign = "≥" if floor.better == "higher" else "≤"
    return f"{sign} {shown(floor.limit)} {'yes' if floor.holds(result.medians[name]) else 'NO'}"


def _compared_lines(result: Result) -> Iterator[str]:
    """What was measured in two situations, of the last round."""
    compared: list[Compared] = result.rounds[-1].details.get(COMPARED, [])
    if compared:
        rows = [[each.what, shown(each.before), shown(each.after), shown(each.ratio)] for each in compared]
        yield from lines_of(["p50 ms", "empty", "full", "ratio"], rows)


def _gauge_lines(result: Result) -> Iterator[str]:
    """What the queues held, in the last round."""
    gauges: dict[str, Extent] = result.rounds[-1].details.get(GAUGES, {})
    if gauges:
        rows = [[name.replace("_", " "), shown(found.most), shown(found.last)] for name, found in gauges.items()]
        yield from lines_of(["queues", "most", "at the end"], rows)


def _process_lines(result: Result) -> Iterator[str]:
    """By process, of the round with the median CPU time."""
    ordered = sorted(result.rounds, key=lambda each: each.usage.cpu_total_s)
    chosen = ordered[len(ordered) // 2]
    usage, per_step = chosen.usage, chosen.details.get(_PER_STEP, {})
    rows = [
        [name, shown(used), shown(per_step[name]) if name in per_step else "", shown(usage.peak_rss_mb.get(name, 0.0))]
        for name, used in sorted(usage.cpu_s.items(), key=lambda item: -item[1])
    ]
    yield from lines_of(PROCESS_COLUMNS, [*rows, ["(the benchmark itself)", shown(usage.driver_cpu_s), "", ""]])
