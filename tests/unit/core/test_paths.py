"""Path syntax: what is read, what is refused, and that writing a path and reading it back agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.core.paths import MAX_PATH_CHARACTERS, PathError, format_path, parse_path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("ctx", ()),
        ("$", ()),
        ("ctx.config", ("config",)),
        ("$.config", ("config",)),
        ("config", ("config",)),
        ("steps.checkPods.result", ("steps", "checkPods", "result")),
        ("steps.check-pods", ("steps", "check-pods")),
        ("items.0.name", ("items", "0", "name")),
        ("items[0].name", ("items", "0", "name")),
        ('a["b.c"]', ("a", "b.c")),
        ("a['b.c'].d", ("a", "b.c", "d")),
        ('a["say \\"hi\\""]', ("a", 'say "hi"')),
        ("a['it\\'s']", ("a", "it's")),
        ('["odd name"].x', ("odd name", "x")),
        ('ctx["odd name"]', ("odd name",)),
        ('$["ctx"]', ("ctx",)),
        ("ctx.ctx", ("ctx",)),
        ("ctxt.a", ("ctxt", "a")),
        ("größe", ("größe",)),
    ],
)
def test_reads(text: str, path: tuple[str, ...]) -> None:
    assert parse_path(text) == path


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0),
        (".a", 0),
        ("a.", 2),
        ("a..b", 2),
        ("ctx.", 4),
        ("a b", 1),
        (" a", 0),
        ("a + b", 1),
        ("a[b]", 1),
        ('a["b', 1),
        ("a[0", 1),
        ("a]", 1),
        ("$x", 0),
        ("a.$", 2),
        ('a["\\q"]', 1),
        ("a" * (MAX_PATH_CHARACTERS + 1), MAX_PATH_CHARACTERS),
    ],
)
def test_refuses(text: str, position: int) -> None:
    with pytest.raises(PathError) as caught:
        parse_path(text)
    assert caught.value.position == position
    assert caught.value.expected


@given(st.lists(st.text(max_size=12), max_size=6).map(tuple))
def test_format_is_the_inverse_of_parse(path: tuple[str, ...]) -> None:
    assert parse_path(format_path(path)) == path
