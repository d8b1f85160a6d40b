"""What samples say of a process: threads count by the CPU they used, waiting counts nothing, frames have an area."""

import pytest

from tests.benchmarks.areas import REST, area_of
from tests.benchmarks.profiling import shares, speedscope, top_list, weighed

LOOP = "run (runtime/lifecycle.py:50);Runner.run (asyncio/runners.py:86)"
FOLDED = f"""\
thread (10): MainThread;{LOOP} 10
thread (10): MainThread;{LOOP};decide (core/decide.py:35);len 30
thread (11): writer;Writer._work (scheduler/store/writer.py:104);Writer._next_group (scheduler/store/writer.py:132) 900
thread (11): writer;Writer._work (scheduler/store/writer.py:104);Unit.run (scheduler/store/writer.py:54) 5
"""


def test_a_thread_counts_by_its_cpu_and_not_by_how_often_it_was_seen() -> None:
    areas, own, total = shares(weighed(FOLDED, {10: 3.0, 11: 1.0}))
    expected = {"decide and evolve": 0.5625, "SQLite: the writer's thread": 0.25, REST: 0.1875}
    assert areas == pytest.approx(expected)
    assert list(areas) == ["decide and evolve", "SQLite: the writer's thread", REST], "the largest first"
    assert own["len"] == pytest.approx(0.5625)
    assert total["Runner.run (asyncio/runners.py:86)"] == pytest.approx(0.75)


def test_the_standard_library_works_for_its_caller() -> None:
    frames = ["Client._flusher (nats/aio/client.py:2348)", "StreamWriter.writelines (asyncio/streams.py:345)"]
    assert area_of(frames) == "NATS client"
    assert area_of(["main (gateway/__main__.py:17)", "Runner.run (asyncio/runners.py:86)"]) == REST


def test_a_profile_becomes_a_list_and_a_flame_graph() -> None:
    text = top_list(weighed(FOLDED, {10: 3.0, 11: 1.0}))
    assert " 56.2%  len" in text
    assert " 75.0%  run (runtime/lifecycle.py:50)" in text
    document = speedscope("scheduler", FOLDED)
    assert document["profiles"][0]["samples"] == [[0, 1, 2], [0, 1, 2, 3, 4], [5, 6, 7], [5, 6, 8]]
    assert document["profiles"][0]["weights"] == [10, 30, 900, 5]
