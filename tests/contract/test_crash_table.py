"""Every fail point in the code is tested, and its costs are documented; no other one is."""

import re
from collections import Counter
from pathlib import Path

from tests.e2e.crash_points import POINTS

ROOT = Path(__file__).parents[2]


def in_the_code() -> Counter[str]:
    files = [file for top in ("services", "shared") for file in (ROOT / top).glob("**/src/**/*.py")]
    return Counter(name for file in files for name in re.findall(r'\bhit\("([^"]+)"\)', file.read_text()))


def test_every_fail_point_is_tested() -> None:
    found = in_the_code()
    assert len(found) > 20
    assert set(found.values()) == {1}, "a name is one place"
    assert Counter(point.name for point in POINTS) == found


def test_every_fail_point_is_documented_in_the_order_of_the_tests() -> None:
    rows = re.findall(r"^\| `([\w.-]+)` \|(.*)\|$", (ROOT / "docs" / "reliability.md").read_text(), re.MULTILINE)
    assert [name for name, _ in rows] == [point.name for point in POINTS]
    assert all(len(cells.split(" | ")) == 3 for _, cells in rows), "kept, done again, who must be idempotent"
    assert {name for name, cells in rows if "**the agent's work**" in cells} == {p.name for p in POINTS if p.again}
