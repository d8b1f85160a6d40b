"""Conditions that need Starlark, answered by the helper pool."""

from __future__ import annotations

import asyncio

from station.core.decision import Evaluation
from station.core.messages import Evaluated
from station.scheduler.evaluator.pool import EvaluatorPool

_CEILING_SECONDS = 30.0


class Evaluator:
    """Asks the pool; a pool that cannot answer at all costs a step, never the scheduler."""

    def __init__(self, pool: EvaluatorPool) -> None:
        self._pool = pool

    async def __call__(self, evaluation: Evaluation) -> Evaluated:
        """Answer one evaluation."""
        sources = [expression.starlark for expression in evaluation.expressions]
        try:
            async with asyncio.timeout(_CEILING_SECONDS):
                outcome = await self._pool.evaluate(sources, evaluation.bindings)
        except TimeoutError:
            problem = f"no evaluator answered within {_CEILING_SECONDS:g} s"
            return Evaluated(step_id=evaluation.step_id, problem=problem)
        return Evaluated(step_id=evaluation.step_id, matched=outcome.matched, problem=outcome.problem)
