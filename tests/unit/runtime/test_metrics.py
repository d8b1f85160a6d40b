"""One registry per process, and limits of histograms that people can read."""

from station.runtime import metrics


def test_limits_are_one_two_and_a_half_and_five() -> None:
    assert metrics.buckets(0.001, 0.1) == (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)
    assert metrics.buckets(1, 1000) == (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000)


def test_a_metric_is_rendered_under_our_name_with_the_process_figures() -> None:
    counter = metrics.counter("tests_total", "Counts this test.", ["kind"])
    counter.labels(kind="unit").inc(2)
    text = metrics.render().decode()
    metrics.REGISTRY.unregister(counter)  # it is none of ours, and other tests look at all of them
    assert 'station_tests_total{kind="unit"} 2.0' in text
    assert "process_resident_memory_bytes" in text
