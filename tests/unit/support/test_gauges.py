"""The plots of the queues: what is read of a page of metrics, and that the figure shows it."""

from xml.etree import ElementTree as ET

from tests.support.chart import Lane, Line, Panel, draw
from tests.support.gauges import GAUGES, gauges_in

PAGE = """\
# TYPE station_consumer_lag gauge
station_consumer_lag{consumer="agent-runner"} 3.0
station_consumer_lag{consumer="approval-service"} 4.0
station_outbox_depth 2.0
station_rpc_seconds_bucket{le="0.001",subject="a b"} 1.0
process_open_fds 9.0
"""


def test_labels_are_summed_and_the_rest_is_left_out() -> None:
    assert gauges_in(PAGE) == {"consumer_lag": 7.0, "outbox_depth": 2.0}
    assert {"consumer_lag", "outbox_depth"} < set(GAUGES)


def drawn(*values: float | None) -> ET.Element:
    times = [float(number) for number in range(len(values))]
    text = draw("t", times, [Panel("Age", "s", [Line("oldest", values)])], [Lane("kill", [0.5, 1.5])], "a & b")
    return ET.fromstring(text)


def paths(figure: ET.Element) -> list[str]:
    return [path.get("d", "") for path in figure.iter("{http://www.w3.org/2000/svg}path")]


def test_a_figure_says_the_largest_value_and_the_last() -> None:
    words = ["".join(text.itertext()) for text in drawn(0, 12.5, 3).iter("{http://www.w3.org/2000/svg}text")]
    assert "oldest: most 12.5, at the end 3" in words
    assert "Age, s" in words


def test_where_nothing_is_known_there_is_a_gap() -> None:
    assert sum(path.count("M") for path in paths(drawn(1, 2, None, 4, 5))) == 1 + sum(
        path.count("M") for path in paths(drawn(1, 2, 3, 4, 5))
    )


def test_of_many_values_the_highest_is_drawn() -> None:
    values = [0.0] * 5000
    values[3217] = 10.0
    figure = drawn(*values)
    curve = max(paths(figure), key=len)
    assert curve.count("L") < 1000
    heights = [float(point.split(" ")[1]) for point in curve.replace("M", "L").split("L") if point]
    assert min(heights) < max(heights)


def test_nothing_at_all_can_be_drawn() -> None:
    assert drawn() is not None
    assert drawn(None, None) is not None
