"""Tells the scheduler how attempts ended, many in one request, until each has been answered for."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from station.agent_runner import metrics
from station.agent_runner.batching import Batcher
from station.agent_runner.scheduler import SERVER_ERROR, Scheduler
from station.agent_runner.spool import Identity
from station.contracts import subjects
from station.contracts.errors import ErrorType, Failure, StepError
from station.contracts.work import Assignment, ReportAnswer, ReportResults, StepResult
from station.runtime.errors import Refused
from station.runtime.logging import get_logger

log = get_logger("reporter")
Verdict = Literal["accepted", "fenced", "refused"]
BATCH = 256
IN_FLIGHT = 2
PATIENCE = 5
"""How often a result is offered that the scheduler fails at by itself, before it is set aside."""
PAUSE_SECONDS = 0.5


class Reporter:
    """Reports results. Safe to repeat: the scheduler accepts a token once and fences the rest."""

    def __init__(self, scheduler: Scheduler, identity: Identity) -> None:
        self._scheduler = scheduler
        self._identity = identity
        self.takes_more: Callable[[], bool] = lambda: False
        """Whether what follows from a report may come with its answer."""
        self.on_assigned: Callable[[Sequence[Assignment]], None] = lambda _: None
        self._batches: Batcher[StepResult, Verdict] = Batcher(self._send, limit=BATCH, lanes=IN_FLIGHT)

    async def report(self, result: StepResult, size: int = 0) -> Verdict:
        """Report one result, however long the scheduler is away.

        ``refused``: the scheduler is there and will not take it; it goes on without it when the lease is over.
        """
        verdict = await self._batches.put(result, size)
        metrics.REPORTS.labels(verdict=verdict).inc()
        return verdict

    async def _send(self, results: Sequence[StepResult]) -> Sequence[Verdict]:
        try:
            return await self._ask(results)
        except Refused as refused:
            if len(results) == 1:
                return [await self._insist(results[0], refused.failure)]
        # One of them is the reason. Apart, the others are not held up by it.
        middle = len(results) // 2
        return [*await self._send(results[:middle]), *await self._send(results[middle:])]

    async def _ask(self, results: Sequence[StepResult]) -> Sequence[Literal["accepted", "fenced"]]:
        message = ReportResults(
            runner=self._identity.runner,
            boot=self._identity.boot,
            results=tuple(results),
            wants=len(results) if self.takes_more() else 0,
        )
        answer = await self._scheduler.ask(subjects.STEP_REPORT, message, ReportAnswer)
        if answer.assigned:
            self.on_assigned(answer.assigned)
        return answer.verdicts

    async def _insist(self, result: StepResult, failure: Failure) -> Verdict:
        if failure.code == "payload_too_large" and result.error is None:
            result, tries = _without_output(result, failure), 1
        else:
            tries = PATIENCE if failure.status >= SERVER_ERROR else 0
        for _ in range(tries):
            try:
                return (await self._ask((result,)))[0]
            except Refused as refused:
                failure = refused.failure
                await asyncio.sleep(PAUSE_SECONDS)
        log.error(
            "result_refused",
            run_id=result.run_id,
            step_id=result.step_id,
            attempt=result.attempt,
            code=failure.code,
            detail=failure.detail,
        )
        return "refused"


def _without_output(result: StepResult, failure: Failure) -> StepResult:
    """The broker cannot carry it, so the step fails with that instead of being done again and again."""
    error = StepError(type=ErrorType.PAYLOAD_TOO_LARGE, message=failure.detail, retryable=False)
    return msgspec.structs.replace(result, output=None, error=error)
