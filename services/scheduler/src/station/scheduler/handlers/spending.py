"""Says whether a metered attempt may make another call, while others spend from the same budget.

What attempts under way have used is known from their own questions, and lives in memory: after a restart each tells its
whole sum with its next question. What they used in the end is in their reports.
"""

from __future__ import annotations

from station.contracts.usage import Usage
from station.contracts.work import SpendAnswer, SpendStep, StepResult
from station.core.run import Run
from station.core.spending import left, total, used_up
from station.runtime.rpc import RpcContext, refuse
from station.scheduler.engine.engine import Engine
from station.scheduler.engine.loading import UnknownRun

Attempt = tuple[str, int, int]
"""Step, attempt, token."""
ONE_CALL = Usage(tool_calls=1)


class Spending:
    """What attempts under way have used, by run."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._under_way: dict[str, dict[Attempt, Usage]] = {}

    async def spend(self, request: SpendStep, _: RpcContext) -> SpendAnswer:
        """Note what an attempt has used, and answer whether its run may use more."""
        held = request.step
        try:
            slot = await self._engine.ready(held.run_id)
        except UnknownRun:
            raise _lost(request) from None
        run, attempt = slot.run, (held.step_id, held.attempt, held.token)
        if not _holds(run, attempt):
            self.forget(held.run_id, attempt)
            raise _lost(request)
        under_way = self._under_way.setdefault(held.run_id, {})
        under_way[attempt] = request.usage
        for other in [other for other in under_way if not _holds(run, other)]:
            del under_way[other]
        limits = slot.program.definition.budget
        if limits is None:
            return SpendAnswer()
        used = run.usage
        for usage in under_way.values():
            used = total(used, usage)
        exceeded = used_up(left(limits, None), used or Usage(), whose="the run", tool=request.tool)
        if exceeded is None and request.tool:
            # A call that is allowed is made: branches that ask before it is over must see it.
            under_way[attempt] = total(request.usage, ONE_CALL) or ONE_CALL
        return SpendAnswer(exceeded=exceeded)

    def reported(self, result: StepResult) -> None:
        """Note that what an attempt used is in the run's own sum from here on."""
        self.forget(result.run_id, (result.step_id, result.attempt, result.token))

    def forget(self, run_id: str, attempt: Attempt) -> None:
        """Forget an attempt."""
        under_way = self._under_way.get(run_id)
        if under_way is not None:
            under_way.pop(attempt, None)
            if not under_way:
                del self._under_way[run_id]


def _holds(run: Run, attempt: Attempt) -> bool:
    step_id, number, token = attempt
    step = run.open.get(step_id)
    return step is not None and step.attempt == number and step.token == token


def _lost(request: SpendStep) -> Exception:
    held = request.step
    return refuse(
        409,
        "attempt_lost",
        f"Attempt {held.attempt} of step {held.step_id} is no longer held with token {held.token}: stop it.",
    )
