"""The short form of `just chaos`: one seed, a quarter of a minute of faults, and every invariant afterwards."""

from pathlib import Path

from tests.chaos_rig.campaign import Plan, wage
from tests.chaos_rig.faults import KINDS
from tests.chaos_rig.report import show
from tests.support.gauges import GAUGES


def test_nothing_is_lost_and_nothing_is_recorded_twice(tmp_path: Path) -> None:
    report = wage(Plan(seed=44_150, seconds=14, in_flight=12, settle_seconds=60, drain_seconds=0), tmp_path)
    print(show(report))
    assert report.sound, show(report)
    assert report.faults.total > 10
    assert report.faults.by_kind.keys() == KINDS.keys(), "the seed has every kind within a few seconds"
    assert report.runs.started >= 12
    assert report.runs.completed == report.runs.started
    assert report.gauges.keys() == set(GAUGES)
    assert report.gauges["runs_open"].most > 0
    assert "Queue age" in (tmp_path / "gauges.svg").read_text()
