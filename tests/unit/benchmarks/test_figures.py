"""Percentiles, medians of rounds, and what the table says of a floor."""

import pytest

from tests.benchmarks.figures import FIGURES, FLOORS, latencies, medians, percentile, shown
from tests.benchmarks.measured import Round
from tests.benchmarks.peers import summary
from tests.benchmarks.session import WORKLOADS, Result
from tests.benchmarks.table import comparison_lines, lines_of, result_lines
from tests.benchmarks.usage import Usage


def usage() -> Usage:
    return Usage(
        elapsed_s=2.0,
        cpu_s={"scheduler": 1.5, "gateway": 0.25},
        peak_rss_mb={"scheduler": 100.0, "gateway": 60.0},
        peak_rss_total_mb=160.0,
        driver_cpu_s=0.1,
        other_cpu_share=0.0,
        steal_s=0.0,
    )


def result(workload: str, *rounds: dict[str, float]) -> Result:
    done = [Round(figures=figures, usage=usage()) for figures in rounds]
    return Result(workload=workload, title="a title", rounds=done, medians=medians(rounds))


@pytest.mark.parametrize(("percent", "expected"), [(0, 1.0), (50, 2.5), (95, 3.85), (100, 4.0)])
def test_a_percentile_lies_between_the_two_nearest_values(percent: float, expected: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == pytest.approx(expected)


def test_one_value_is_every_percentile_and_none_has_none() -> None:
    assert latencies([0.25]) == {"p50_ms": 250.0, "p95_ms": 250.0, "p99_ms": 250.0}
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


def test_a_disturbed_round_is_not_in_the_median() -> None:
    calm, disturbed = {"p50_ms": 1.0, "other_cpu_share": 0.01}, {"p50_ms": 9.0, "other_cpu_share": 0.5}
    assert medians([calm, disturbed, {**calm, "p50_ms": 3.0}])["p50_ms"] == 2.0


def test_when_all_rounds_are_disturbed_the_median_is_of_all() -> None:
    rounds = [{"p50_ms": value, "other_cpu_share": 0.5} for value in (1.0, 2.0, 9.0)]
    assert medians(rounds)["p50_ms"] == 2.0


@pytest.mark.parametrize(
    ("value", "text"),
    [(12345.6, "12,346"), (345.6, "346"), (12.34, "12.3"), (1.234, "1.23"), (0.1234, "0.123"), (7.0, "7")],
)
def test_three_digits_are_shown(value: float, text: str) -> None:
    assert shown(value) == text


def test_columns_line_up() -> None:
    assert list(lines_of(["", "p50"], [["round 1", "1"], ["a", "1,000"]])) == [
        "             p50",
        "  round 1      1",
        "  a        1,000",
    ]


def test_every_workload_has_floors_and_every_floor_a_figure() -> None:
    assert list(FLOORS) == list(WORKLOADS)
    assert {name for floors in FLOORS.values() for name in floors} <= FIGURES.keys()


def test_a_block_shows_rounds_median_floor_and_processes() -> None:
    text = "\n".join(result_lines(result("W2", {"p50_ms": 12.0}, {"p50_ms": 18.0, "other_cpu_share": 0.2}), full=True))
    assert "round 2 *" in text
    assert "≤ 15 yes" in text
    assert "scheduler" in text


def test_a_floor_that_is_not_reached_is_said_so() -> None:
    assert any("≤ 15 NO" in line for line in result_lines(result("W2", {"p50_ms": 15.1}), full=True))


def test_a_peers_document_is_read_under_our_names() -> None:
    parked = {"starts_per_s": 200.0, "idle_cpu_share_of_one_core_with_parked": 0.02, "errors": 0}
    raw = {
        "peer": "other",
        "W1": [{"steps_per_s": 900.0, "other_cpu_share": 0.0}, {"steps_per_s": 100.0, "other_cpu_share": 0.9}],
        "W6": parked | {"signal_to_done_while_parked": {"p50_ms": 5.0}},
    }
    found = summary(raw)
    assert found["W1"]["steps_per_s"] == 900.0
    assert (found["W6"]["idle_cpu_share"], found["W6"]["signal_p50_ms"]) == (0.02, 5.0)


def test_a_ratio_says_how_many_times_better_station_is() -> None:
    ours = {"W1": result("W1", {"steps_per_s": 1800.0, "p50_ms": 50.0})}
    text = "\n".join(comparison_lines("other", ours, {"W1": {"steps_per_s": 900.0, "p50_ms": 25.0}}))
    assert "2.00" in text
    assert "0.50" in text
