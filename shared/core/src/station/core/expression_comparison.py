"""Starlark's comparisons of JSON values, with a limit on how much is compared in the scheduler's own process."""

from __future__ import annotations

from typing import Any, Final

from station.core.expression_errors import NotCheap
from station.core.expression_values import (
    ValueProblem,
    as_float,
    check_key,
    is_number,
    is_object,
    is_sequence,
    kind,
)

MAX_COMPARED: Final = 20_000
"""Values looked at by one condition before the evaluator pool has to do it (some milliseconds)."""


class Comparison:
    """The comparisons of one evaluation; they share the limit."""

    def __init__(self) -> None:
        self._left = MAX_COMPARED

    def holds(self, symbol: str, left: Any, right: Any) -> bool:  # noqa: PLR0911 - one line per operator
        """Answer `left symbol right`. Raises ValueProblem, NotCheap."""
        match symbol:
            case "==":
                return self._equal(left, right)
            case "!=":
                return not self._equal(left, right)
            case "in":
                return self._contains(right, left)
            case "not in":
                return not self._contains(right, left)
            case "<":
                return self._order(left, right) < 0
            case "<=":
                return self._order(left, right) <= 0
            case ">":
                return self._order(left, right) > 0
            case _:
                return self._order(left, right) >= 0

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise NotCheap(f"more than {MAX_COMPARED} values to compare")

    def _equal(self, left: Any, right: Any) -> bool:
        self._count()
        if is_number(left) and is_number(right):
            return _number_order(left, right) == 0
        if type(left) is not type(right):
            return False
        if is_sequence(left):
            return len(left) == len(right) and all(map(self._equal, left, right))
        if is_object(left):
            return len(left) == len(right) and all(
                name in right and self._equal(value, right[name]) for name, value in left.items()
            )
        return left == right

    def _contains(self, container: Any, value: Any) -> bool:
        if is_sequence(container):
            return any(self._equal(value, other) for other in container)
        if is_object(container):
            check_key(value)
            return isinstance(value, str) and value in container
        if not isinstance(container, str):
            raise ValueProblem(f"`in` looks into text, lists and objects, not into {kind(container)}")
        if not isinstance(value, str):
            raise ValueProblem(f"`in` looks for text in text, not for {kind(value)}")
        return value in container

    def _order(self, left: Any, right: Any) -> int:
        self._count()
        if is_number(left) and is_number(right):
            return _number_order(left, right)
        if type(left) is type(right):
            if isinstance(left, (str, bool)):
                return (left > right) - (left < right)
            if is_sequence(left):
                return self._sequence_order(left, right)
        raise ValueProblem(f"{kind(left)} and {kind(right)} have no order")

    def _sequence_order(self, left: list[Any] | tuple[Any, ...], right: list[Any] | tuple[Any, ...]) -> int:
        for one, other in zip(left, right, strict=False):
            order = self._order(one, other)
            if order:
                return order
        return len(left) - len(right)


def _number_order(left: float, right: float) -> int:
    if isinstance(left, int) and isinstance(right, int):
        return (left > right) - (left < right)
    one, other = as_float(left), as_float(right)
    if one != one or other != other:  # noqa: PLR0124 - NaN, which Starlark puts above everything
        return (one != one) - (other != other)  # noqa: PLR0124
    return (one > other) - (one < other)
