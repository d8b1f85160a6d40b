"""Says whether a metered attempt may make another call, while others spend from the same budget.

What attempts under way have used stands on their leases, in memory: after a restart each tells its whole sum with its
next question or heartbeat. What they used in the end is in their outcomes, or in the note that they were handed out
anew.
"""

from __future__ import annotations

from station.contracts.usage import Usage
from station.contracts.work import SpendAnswer, SpendStep
from station.core.run import Run
from station.core.spending import left, total, used_up
from station.runtime.rpc import RpcContext, refuse
from station.scheduler.engine.attempts import Attempts
from station.scheduler.engine.engine import Engine
from station.scheduler.engine.loading import UnknownRun

ONE_CALL = Usage(tool_calls=1)


class Spending:
    """Answers for the budgets of runs."""

    def __init__(self, engine: Engine, attempts: Attempts) -> None:
        self._engine = engine
        self._attempts = attempts

    async def spend(self, request: SpendStep, _: RpcContext) -> SpendAnswer:
        """Note what an attempt has used, and answer whether its run may use more."""
        try:
            slot = await self._engine.ready(request.step.run_id)
        except UnknownRun:
            raise _lost(request) from None
        lease = self._attempts.lease_of(request.step)
        if lease is None:
            raise _lost(request)
        lease.usage = request.usage
        limits = slot.program.definition.budget
        if limits is None:
            return SpendAnswer()
        used = self._used(slot.run) or Usage()
        exceeded = used_up(left(limits, None), used, whose="the run", tool=request.tool)
        if exceeded is None and request.tool:
            # A call that is allowed is made: branches that ask before it is over must see it.
            lease.usage = total(request.usage, ONE_CALL)
        return SpendAnswer(exceeded=exceeded)

    def _used(self, run: Run) -> Usage | None:
        """What the run has used: what is recorded, and what attempts under way have told."""
        used = run.usage
        for step in run.open.values():
            lease = self._attempts.leases.get((run.run_id, step.step_id))
            if lease is not None and lease.token == step.token:
                used = total(used, lease.usage)
        return used


def _lost(request: SpendStep) -> Exception:
    held = request.step
    return refuse(
        409,
        "attempt_lost",
        f"Attempt {held.attempt} of step {held.step_id} is no longer held with token {held.token}: stop it.",
    )
