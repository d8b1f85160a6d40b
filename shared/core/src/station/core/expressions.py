"""Conditions (`if` of a switch): Starlark over the run's data.

`compile_expression` once, at load; at run time `bindings`, then `evaluate_cheap` where every condition is cheap, else
the evaluator pool of the scheduler. Both ways answer the same.
"""

from __future__ import annotations

from station.core.expression_bindings import IN_SIGHT, RootLookup, bindings
from station.core.expression_compilation import Expression, compile_expression, possible_names_problem
from station.core.expression_errors import EvaluationError, ExpressionError, NotCheap
from station.core.expression_interpreter import evaluate_cheap

__all__ = [
    "IN_SIGHT",
    "EvaluationError",
    "Expression",
    "ExpressionError",
    "NotCheap",
    "RootLookup",
    "bindings",
    "compile_expression",
    "evaluate_cheap",
    "possible_names_problem",
]
