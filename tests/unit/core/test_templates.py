"""Templates: types kept, texts written, one pass, and errors with a place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.core.paths import Path, format_path
from station.core.templates import (
    Placeholder,
    RenderedTooLargeError,
    TemplateError,
    parse_template,
    paths_in,
    render,
)

LIMIT = 1000

VALUES: dict[Path, Any] = {
    ("name",): "api",
    ("count",): 3,
    ("rate",): 0.05,
    ("on",): True,
    ("nothing",): None,
    ("list",): [1, {"a": "é"}],
    ("object",): {"b": 1, "a": None},
    ("sneaky",): "{{ name }}",
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("no placeholder } here {", "no placeholder } here {"),
        ("", ""),
        ("{{ ctx.name }}", "api"),
        ("{{name}}", "api"),
        ("{{ count }}", 3),
        ("{{ on }}", True),
        ("{{ nothing }}", None),
        ("{{ list }}", [1, {"a": "é"}]),
        ("{{ object }}", {"b": 1, "a": None}),
        ("{{ count }} ", "3 "),
        ("in {{ ctx.name }}: {{ rate }}", "in api: 0.05"),
        ("on={{ on }} n={{ nothing }}.", "on=true n=."),
        ("{{ list }}|{{ object }}", '[1,{"a":"é"}]|{"b":1,"a":null}'),
        ("{{ sneaky }}", "{{ name }}"),
        ("see {{ sneaky }}", "see {{ name }}"),
        ("{{\n  name\n}}", "api"),
    ],
)
def test_renders(template: str, expected: Any) -> None:
    rendered = render(template, VALUES.__getitem__, limit=LIMIT)
    assert rendered == expected
    assert type(rendered) is type(expected)


def test_renders_strings_at_any_depth_and_leaves_names_alone() -> None:
    value = {"{{ name }}": ["{{ count }}", {"deep": "is {{ name }}"}], "n": 1, "none": None}
    rendered = render(value, VALUES.__getitem__, limit=LIMIT)
    assert rendered == {"{{ name }}": [3, {"deep": "is api"}], "n": 1, "none": None}


def test_what_the_lookup_raises_comes_through() -> None:
    with pytest.raises(KeyError):
        render(["{{ absent }}"], VALUES.__getitem__, limit=LIMIT)


@pytest.mark.parametrize("template", ["{{ v }}{{ v }}", ["{{ v }}", "{{ v }}"], {"a": "{{ v }}", "b": ["-{{ v }}"]}])
@pytest.mark.parametrize("value", ["x" * 10, "é" * 5, [1.5], {"a": "wxyz.."}])
def test_what_is_put_in_is_counted(template: Any, value: Any) -> None:
    """Ten bytes twice, a few more where an object becomes text."""
    render(template, lambda _path: value, limit=28)
    with pytest.raises(RenderedTooLargeError, match="more than 9 bytes"):
        render(template, lambda _path: value, limit=9)


def test_it_stops_at_the_limit_and_not_at_the_end() -> None:
    reads = [0]

    def lookup(_path: Path) -> str:
        reads[0] += 1
        return "x" * 100

    with pytest.raises(RenderedTooLargeError):
        render(["{{ v }}" * 1000, *["{{ v }}"] * 1000], lookup, limit=1000)
    assert reads == [11]


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("{{ name", 0, "never closed"),
        ("ok {{ name }} then {{ oops", 19, "never closed"),
        ("{{ }}", 0, "expected a name"),
        ("{{ a + b }}", 0, "only a path"),
        ("{{ upper(name) }}", 0, "only a path"),
        ("{{ {a} }}", 0, "only a path"),
        ("{{{ name }}}", 0, "only a path"),
    ],
)
def test_refuses(text: str, position: int, reason: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse_template(text)
    assert caught.value.position == position
    assert reason in str(caught.value)


def test_a_quoted_name_may_hold_braces() -> None:
    assert parse_template('{{ a["}}"] }}').whole == Placeholder(("a", "}}"), 'a["}}"]')


def test_paths_are_listed_with_their_place() -> None:
    value = {"task": "{{ a }} and {{ ctx.b }}", "variables": {"x/y": ["no", "{{ c }}"]}}
    assert list(paths_in(value)) == [("/task", "a"), ("/task", "ctx.b"), ("/variables/x~1y/1", "c")]


LITERAL = st.text().filter(lambda text: "{" not in text)
PATH = st.lists(st.text(max_size=8), min_size=1, max_size=4).map(tuple)


@given(st.lists(st.tuples(LITERAL, PATH), max_size=5), LITERAL)
def test_splitting_finds_what_was_put_together(parts: list[tuple[str, Path]], tail: str) -> None:
    text = "".join(f"{literal}{{{{ {format_path(path)} }}}}" for literal, path in parts) + tail
    expected: list[str | Path] = []
    for literal, path in parts:
        expected += [literal, path] if literal else [path]
    found = [s.path if isinstance(s, Placeholder) else s for s in parse_template(text).segments]
    assert found == expected + ([tail] if tail else [])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_a_value_written_into_text_reads_back_as_json(value: Any) -> None:
    text = render("={{ v }}", lambda _path: value, limit=10**9)
    if isinstance(value, str):
        assert text == "=" + value
    elif value is None:
        assert text == "="
    else:
        assert json.loads(text[1:]) == value
