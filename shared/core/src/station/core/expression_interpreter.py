"""Cheap conditions, evaluated in the process: no loops, no text made, so a bound on time and memory by their form.

The rule: the answer is Starlark's own, or there is none (`NotCheap`).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from station.core import expression_values as values
from station.core.expression_bindings import IN_SIGHT
from station.core.expression_comparison import Comparison
from station.core.expression_compilation import Expression
from station.core.expression_errors import NotCheap, evaluation_error, unknown_name
from station.core.expression_grammar import ARITHMETIC, COMPARISONS, LITERALS, UNARY


def evaluate_cheap(expression: Expression, bindings: Mapping[str, Any]) -> bool:
    """Evaluate a cheap condition over what `bindings` gave.

    Raises EvaluationError: an unknown name, a missing member, a wrong type, a division by zero. Raises NotCheap (an
    EvaluationError too) when only the evaluator pool can tell.
    """
    if not expression.cheap:
        raise NotCheap("this condition is not a cheap one")
    for name in sorted(expression.names):
        if name not in bindings:
            in_sight = bindings.get(IN_SIGHT, sorted(bindings))
            raise evaluation_error(unknown_name(name, in_sight), in_sight)
    try:
        return bool(_Evaluation(bindings).value(expression.tree))
    except values.ValueProblem as problem:
        raise evaluation_error(str(problem), sorted(name for name in bindings if name != IN_SIGHT)) from None
    except (values.NotNumbers, RecursionError):
        raise NotCheap("arithmetic on text or lists, or very deep data") from None


class _Evaluation:
    """One walk over one expression."""

    def __init__(self, bindings: Mapping[str, Any]) -> None:
        self._bindings = bindings
        self._comparison = Comparison()

    def value(self, node: ast.AST) -> Any:  # noqa: PLR0911 - one line per kind of node
        match node:
            case ast.Name(id=name):
                return LITERALS[name] if name in LITERALS else self._bindings[name]
            case ast.Constant(value=constant):
                return constant
            case ast.Attribute(value=of, attr=name):
                return values.member(self.value(of), name)
            case ast.Compare(left=left, ops=[operator], comparators=[right]):
                return self._comparison.holds(COMPARISONS[type(operator)], self.value(left), self.value(right))
            case ast.BoolOp():
                return self._either(node)
            case ast.UnaryOp():
                return self._unary(node)
            case ast.BinOp(left=left, op=operator, right=right):
                return values.arithmetic(ARITHMETIC[type(operator)], self.value(left), self.value(right))
            case ast.Subscript(value=of, slice=key):
                return values.item(self.value(of), self.value(key))
            case ast.Call():
                return self._call(node)
            case _:
                return self._rest(node)

    def _rest(self, node: ast.AST) -> Any:
        match node:
            case ast.IfExp(test=test, body=body, orelse=other):
                return self.value(body) if self.value(test) else self.value(other)
            case ast.List(elts=members):
                return [self.value(member) for member in members]
            case ast.Tuple(elts=members):
                return tuple(self.value(member) for member in members)
            case _:
                raise NotCheap(f"{type(node).__name__} is not cheap")

    def _either(self, node: ast.BoolOp) -> Any:
        stop_at = isinstance(node.op, ast.Or)
        value: Any = None
        for part in node.values:
            value = self.value(part)
            if bool(value) is stop_at:
                break
        return value

    def _unary(self, node: ast.UnaryOp) -> Any:
        value = self.value(node.operand)
        return not value if isinstance(node.op, ast.Not) else values.signed(UNARY[type(node.op)], value)

    def _call(self, node: ast.Call) -> Any:
        if isinstance(node.func, ast.Attribute):
            return values.get(self.value(node.func.value), *map(self.value, node.args))
        assert isinstance(node.func, ast.Name)
        given = [self.value(argument) for argument in node.args]
        match node.func.id:
            case "len":
                return values.length(given[0])
            case "hasattr":
                return values.has_member(given[0], given[1])
            case _:
                return values.get_member(given[0], given[1], tuple(given[2:]))
