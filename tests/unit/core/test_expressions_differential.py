"""Cheap conditions answer as the real Starlark does, on generated conditions and data."""

import ast
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from station.core.expressions import (
    IN_SIGHT,
    EvaluationError,
    NotCheap,
    bindings,
    compile_expression,
    evaluate_cheap,
)
from station.scheduler.evaluator.child import Conditions

STARLARK = Conditions()

KEYS = st.sampled_from(["a", "b", "result", "type", "é", "odd key"])
NUMBERS = (
    st.integers(-3, 3)
    | st.integers()
    | st.sampled_from([2**31, 2**53, 2**53 + 1, -(2**53) - 1, 2**63, 10**25, 10**25 + 1, 10**400, -(10**400)])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, -0.0, 0.1, 1.0, 2.5, -1.5, 1e25, 1e308, 5e-324])
)
TEXTS = st.sampled_from(["", "a", "ab", "b", "é", "z", "\U0001f600", "1"]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=4
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
NAMES = st.sampled_from(["x", "y", "type", "é", "value", "result", "unknown"])


def _operators(words: str, inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(inner, st.sampled_from(words.split(",")), inner).map(" ".join).map(lambda text: f"({text})")


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    key = KEYS.map(repr)
    return st.one_of(
        _operators("==,!=,<,<=,>,>=,in,not in", inner),
        _operators("+,-,*,/,//,%", inner),
        _operators("and,or", inner),
        st.tuples(st.sampled_from(["not ", "-", "+"]), inner).map(lambda pair: f"({pair[0]}{pair[1]})"),
        st.tuples(inner, st.sampled_from(["a", "b", "result", "type"])).map(lambda pair: f"({pair[0]}).{pair[1]}"),
        st.tuples(inner, key | st.integers(-3, 3).map(str) | inner).map(lambda pair: f"({pair[0]})[{pair[1]}]"),
        inner.map(lambda text: f"len({text})"),
        st.tuples(st.sampled_from(["hasattr", "getattr"]), inner, key | inner).map(
            lambda parts: f"{parts[0]}({parts[1]}, {parts[2]})"
        ),
        st.tuples(inner, key | inner, inner).map(lambda parts: f"getattr({', '.join(parts)})"),
        st.tuples(inner, key | inner).map(lambda pair: f"({pair[0]}).get({pair[1]})"),
        st.tuples(inner, key | inner, inner).map(lambda parts: f"({parts[0]}).get({parts[1]}, {parts[2]})"),
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]"),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({', '.join(parts)})"),
        st.tuples(inner, inner, inner).map(lambda parts: f"({parts[0]} if {parts[1]} else {parts[2]})"),
    )


LEAVES = (
    NAMES
    | NUMBERS.filter(lambda number: abs(number) < 10**30).map(repr)
    | TEXTS.map(repr)
    | st.sampled_from(["true", "False", "null", "None", "[]", "()"])
)
CONDITIONS = st.recursive(LEAVES, _grown, max_leaves=6).filter(
    lambda source: not isinstance(ast.parse(source, mode="eval").body, ast.Tuple)
)


def _objects(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(dict.fromkeys(names, DATA))


def _starlark(source: str, names: dict[str, Any]) -> bool | None:
    answer = STARLARK.answer({"conditions": [compile_expression(source).starlark], "names": names})
    return None if "problem" in answer else answer["matched"] == 0


def _cheap(source: str, names: dict[str, Any]) -> bool | None:
    try:
        return evaluate_cheap(compile_expression(source), names)
    except NotCheap:
        raise
    except EvaluationError:
        return None


@settings(max_examples=300, deadline=None)
@given(CONDITIONS, _objects("x", "y", "type", "é", "value", "result"))
def test_cheap_answers_are_starlarks(source: str, names: dict[str, Any]) -> None:
    expression = compile_expression(source)
    assert expression.cheap
    try:
        ours = _cheap(source, names)
    except NotCheap:
        return  # then nothing is claimed
    assert ours == _starlark(source, {name: names[name] for name in expression.names if name in names})


OPERATORS = ["==", "!=", "<", "<=", ">", ">=", "in", "not in", "+", "-", "*", "/", "//", "%"]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(OPERATORS), st.sampled_from(OPERATORS[:6]), NUMBERS, NUMBERS, NUMBERS)
def test_numbers_are_starlarks(operator: str, comparison: str, x: float, y: float, z: float) -> None:
    source = f"(x {operator} y) {comparison} z" if operator in OPERATORS[8:] else f"x {operator} y"
    names = {"x": x, "y": y, "z": z}
    used = {name: names[name] for name in compile_expression(source).names}
    assert _cheap(source, names) == _starlark(source, used)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("other", ["x * x", "-(x * x)", "(x * x - x * x)", "y", "0.0", "-y"])
@pytest.mark.parametrize("first", ["x * x", "(x * x - x * x)", "y"])
def test_infinities_are_starlarks(operator: str, other: str, first: str) -> None:
    """Data holds no infinity; products reach it, and from there what is not a number."""
    names = {"x": 1e300, "y": 2.5}
    for last in ("x * x", "(x * x - x * x)", "y"):
        for source in (f"{first} {operator} {other}", f"({first} {operator} {other}) <= {last}"):
            used = {name: names[name] for name in compile_expression(source).names}
            assert _cheap(source, names) == _starlark(source, used), source


@settings(max_examples=200, deadline=None)
@given(TEXTS | st.text(st.characters(exclude_categories=["Cs"])))
def test_text_reaches_starlark_as_written(text: str) -> None:
    assert _starlark(f"x == {text!r}"[:1000], {"x": text}) or len(repr(text)) > 990


@settings(max_examples=200, deadline=None)
@given(st.lists(CONDITIONS, min_size=1, max_size=3), _objects("x", "y", "type", "é"), DATA)
def test_less_data_changes_no_answer(sources: list[str], root: dict[str, Any], data: Any) -> None:
    """What is handed over, narrowed to what is read, gives what the whole data gives."""
    members: dict[str, Any] = data if isinstance(data, dict) else {}
    whole = {**root, **members, "value": data, "result": members.get("result", data)}
    conditions = [compile_expression(source) for source in sources]
    given = bindings(*conditions, root_lookup=lambda name: (root | {"ctx": root})[name], data_value=data, has_data=True)
    narrowed = {name: value for name, value in given.items() if name != IN_SIGHT}
    for source in sources:
        assert _starlark(source, narrowed) == _starlark(source, {name: whole[name] for name in narrowed})
