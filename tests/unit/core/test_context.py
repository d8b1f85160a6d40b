"""The context: layered reads, the forgiving `.result`, writes in place."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.core.context import MissingPathError, NotAnObjectError, Owned, lookup, write
from station.core.paths import Path, parse_path


def read(layers: list[dict[str, Any]], path: str) -> Any:
    return lookup(layers, parse_path(path))


def test_a_local_member_does_not_hide_its_sibling_outside() -> None:
    layers: list[dict[str, Any]] = [{"steps": {"a": 1}}, {"steps": {"a": 2, "b": 3}}]
    assert read(layers, "steps.a") == 1
    assert read(layers, "steps.b") == 3
    assert read(layers, "steps") == {"a": 1, "b": 3}
    assert read(layers, "ctx") == {"steps": {"a": 1, "b": 3}}


def test_a_value_that_is_no_object_hides_all_that_is_outside_of_it() -> None:
    layers: list[dict[str, Any]] = [{"a": {"x": 1}}, {"a": 5}, {"a": {"y": 2}}]
    assert read(layers, "a") == {"x": 1}
    with pytest.raises(MissingPathError):
        read(layers, "a.y")
    assert read(layers[1:], "a") == 5
    assert read(layers, "ctx") == {"a": {"x": 1}}


def test_a_layer_without_the_name_is_passed_over() -> None:
    assert read([{}, {"a": None}, {"a": {"y": 2}}], "a") is None


def test_one_object_is_given_as_it_is() -> None:
    value = {"big": "object"}
    assert read([{"b": 1}, {"a": value}], "a") is value


def test_numbers_index_lists_and_name_members() -> None:
    layers: list[dict[str, Any]] = [{"items": [{"n": 1}, {"n": 2}], "codes": {"404": "gone"}}]
    assert read(layers, "items.1.n") == 2
    assert read(layers, "items[0]") == {"n": 1}
    assert read(layers, "codes.404") == "gone"
    with pytest.raises(MissingPathError, match=r"'items' has indexes 0 to 1"):
        read(layers, "items.2")
    with pytest.raises(MissingPathError):
        read(layers, "items.-1")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("steps.text.result", "done"),
        ("steps.none.result", None),
        ("steps.list.result.0", "x"),
        ("steps.bare.result.error_rate", 0.1),
        ("steps.wrapped.result.error_rate", 0.2),
        ("steps.bare.result.result", {"error_rate": 0.1}),
    ],
)
def test_result_always_reads(path: str, expected: Any) -> None:
    steps = {
        "text": "done",
        "none": None,
        "list": ["x"],
        "bare": {"error_rate": 0.1},
        "wrapped": {"result": {"error_rate": 0.2}},
    }
    assert read([{"steps": steps}], path) == expected


def test_result_forgives_only_where_the_plain_read_fails() -> None:
    layers: list[dict[str, Any]] = [{"a": {"x": 1}}, {"a": {"result": 2}}]
    assert read(layers, "a.result") == 2
    with pytest.raises(MissingPathError):
        read([{"a": {"result": {}, "x": 1}}], "a.result.x")


def test_a_result_that_nobody_wrote_is_not_the_whole_context() -> None:
    with pytest.raises(MissingPathError):
        read([{"a": 1}], "result")


def test_a_missing_path_is_named_with_what_is_near() -> None:
    with pytest.raises(MissingPathError) as caught:
        read([{"steps": {"check_pods": {}, "zebra": 1}}], "ctx.steps.checkpods.x")
    error = caught.value
    assert error.at == ("steps",)
    assert error.known == ["check_pods", "zebra"]
    assert str(error) == "nothing at path 'steps.checkpods.x': 'steps' has check_pods, zebra"


def test_at_most_ten_names_are_shown() -> None:
    with pytest.raises(MissingPathError) as caught:
        read([{f"name{i}": i for i in range(50)}], "nam")
    assert len(caught.value.known) == 10


def test_writing_makes_the_parents() -> None:
    root = Owned({"steps": {"a": 1}})
    write(root, parse_path("steps.b.c"), 2)
    assert root == {"steps": {"a": 1, "b": {"c": 2}}}


@pytest.mark.parametrize("parent", [1, "text", None, [1]])
def test_a_parent_that_is_no_object_is_refused(parent: Any) -> None:
    with pytest.raises(NotAnObjectError) as caught:
        write(Owned({"a": {"b": parent}}), ("a", "b", "c"), 1)
    assert caught.value.at == ("a", "b")
    assert str(caught.value) == "cannot write to 'a.b.c': 'a.b' is not an object"


def test_the_root_takes_an_object_member_by_member() -> None:
    root = Owned({"steps": {"a": 1}, "x": {"y": 1}})
    write(root, (), {"steps": {"b": 2}, "x": 5})
    assert root == {"steps": {"a": 1, "b": 2}, "x": 5}
    with pytest.raises(NotAnObjectError, match="value for the root"):
        write(root, (), [1])


NAMES = st.sampled_from(["a", "b", "result"])
OBJECTS = st.dictionaries(
    NAMES,
    st.recursive(st.integers(), lambda value: st.dictionaries(NAMES, value, max_size=3), max_leaves=8),
    max_size=3,
)


@given(st.lists(OBJECTS, min_size=1, max_size=4), st.lists(NAMES, max_size=4).map(tuple))
def test_reading_layers_equals_reading_the_merged_object(layers: list[dict[str, Any]], path: Path) -> None:
    merged = lookup(layers, ())

    def attempt(source: list[dict[str, Any]]) -> Any:
        try:
            return lookup(source, path)
        except MissingPathError as error:
            return ("missing", error.at)

    assert attempt(layers) == attempt([merged])


@given(OBJECTS, st.lists(st.tuples(st.lists(NAMES, max_size=4).map(tuple), st.integers() | OBJECTS), max_size=4))
def test_what_was_written_reads_back_and_is_never_changed(
    content: dict[str, Any], writes: list[tuple[Path, Any]]
) -> None:
    shared = [content, *(value for _, value in writes)]
    before = copy.deepcopy(shared)
    root = Owned(content)
    for path, value in writes:
        try:
            write(root, path, value)
        except NotAnObjectError:
            continue
        if path:
            assert lookup([root], path) == value
    assert shared == before
