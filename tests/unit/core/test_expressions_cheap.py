"""Cheap conditions: the answers, and errors that say what to do."""

from typing import Any

import pytest

from station.core.expressions import EvaluationError, NotCheap, bindings, compile_expression, evaluate_cheap

CONTEXT: dict[str, Any] = {"config": {"thresholds": {"errorRate": 0.05}}, "steps": {"scan": {"ports": [22, 80]}}}
ERRORS = {"error_rate": 0.08, "status": "degraded", "odd key": {"n": None}, "type": "http"}


def answer(source: str, data: Any = ERRORS) -> bool:
    expression = compile_expression(source)

    def root(name: str) -> Any:
        return CONTEXT if name == "ctx" else CONTEXT[name]

    return evaluate_cheap(expression, bindings(expression, root_lookup=root, data_value=data, has_data=True))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("result.error_rate > 0.05", True),
        ("result.status == 'degraded'", True),
        ("error_rate > ctx.config.thresholds.errorRate", True),
        ("value.error_rate * 100 < 5", False),
        ("result.result.result.status == status", True),
        ("type == 'http' and value['odd key'].n == null", True),
        ("80 in steps.scan.ports and 443 not in steps.scan.result.ports", True),
        ("hasattr(value, 'result') or getattr(value, 'result', 3) != 3", False),
        ("getattr(value, 'result').status == 'degraded'", True),
        ("value.get('nothing')", False),
        ("value.get('nothing', [1])", True),
        ("True == 1 or 1 != 1.0", False),
        ("status", True),
        ("'' or [] or 0 or 0.0 or ()", False),
    ],
)
def test_answers(source: str, *, expected: bool) -> None:
    assert answer(source) is expected


def test_result_of_what_is_no_object() -> None:
    assert answer("result.result + 1 == 8 and result == value.result", 7)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("eror_rate > 1", 'unknown name "eror_rate" (did you mean "error_rate"?); names in sight: error_rate, status,'),
        ("true or nothing", 'unknown name "nothing"'),
        ("result.eror_rate > 1", 'no member "eror_rate" (did you mean "error_rate"?); the object has: error_rate, odd'),
        ("value['x']", 'no member "x"; the object has: '),
        ("ctx.config.thresholds.x", "the object has: errorRate; names in sight: ctx"),
        ("status.length > 1", 'no member "length": the value is text, not an object'),
        ("error_rate > '0.05'", "a number and text have no order"),
        ("error_rate / 0 > 1", "division by zero"),
        ("true + 1 == 2", "+ does not go with a truth value and a number"),
        ("hasattr(status, 'x')", "hasattr reads an object, and the value is text"),
        ("getattr(status, 'x', 1)", "getattr reads an object"),
        ("status.get('x')", ".get reads an object"),
        ("steps.scan.ports[2] == 1", "index 2 is out of range: a list of 2"),
        ("steps.scan.ports['0'] == 1", "whole number"),
        ("len(error_rate) > 1", "len does not go with a number"),
        ("1 in status", "`in` looks for text in text"),
        ("1 in error_rate", "not into a number"),
    ],
)
def test_errors_say_what_is_wrong(source: str, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        answer(source)
    assert message in str(caught.value)
    assert "names in sight: " in str(caught.value)
    assert not isinstance(caught.value, NotCheap)


def test_lists_of_names_are_short() -> None:
    with pytest.raises(EvaluationError) as caught:
        answer("q > 1", {f"name{number:03}": number for number in range(100)})
    assert str(caught.value).count("name") == 22  # in "unknown name", "names in sight", and the twenty
    with pytest.raises(EvaluationError) as caught:
        answer("value.q", {f"member{number:03}": number for number in range(100)})
    assert str(caught.value).count("member0") == 10


@pytest.mark.parametrize("source", ["status + 'x' == 'y'", "'%s' % status == 'y'", "steps.scan.ports * 2 == []"])
def test_arithmetic_on_text_is_left_to_the_pool(source: str) -> None:
    with pytest.raises(NotCheap):
        answer(source)


def test_costly_comparisons_are_left_to_the_pool() -> None:
    rows = [[number] for number in range(30_000)]
    with pytest.raises(NotCheap):
        answer("value == value", rows)
    with pytest.raises(NotCheap):
        answer("len([x for x in value]) == 1", rows)
