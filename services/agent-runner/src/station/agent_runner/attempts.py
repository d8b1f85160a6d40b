"""What happens to one claimed attempt: execute, keep on disk, report, acknowledge, forget.

The rule: the order. A result whose work may not be done twice for nothing is on disk before it is reported; results of
``repeatable`` backends, whose work touches nothing outside, are reported from memory.
"""

import asyncio
import contextlib
from time import monotonic

from nats import errors as nats_errors

from station.agent_runner import metrics
from station.agent_runner.executors.protocol import Executor, Outcome
from station.agent_runner.executors.registry import Executors
from station.agent_runner.held import Held, HeldSteps, StopReason
from station.agent_runner.record import Recorder
from station.agent_runner.reporter import Reporter
from station.agent_runner.spool import TODO, Spool
from station.contracts.errors import ErrorType, StepError
from station.contracts.work import StepResult
from station.runtime.clock import now_ms
from station.runtime.failpoints import hit
from station.runtime.logging import get_logger

log = get_logger("attempts")
STOPPED = {
    StopReason.CANCELLED: "stopped because the run, or this step of it, was cancelled",
    StopReason.LOST: "stopped because the attempt was no longer this runner's: it ended, or was handed out anew",
    StopReason.SHUTDOWN: "given back because the runner stops",
}


class Attempts:
    """Performs attempts and keeps the table of those that are held."""

    def __init__(
        self, *, held: HeldSteps, executors: Executors, spool: Spool, reporter: Reporter, recorder: Recorder
    ) -> None:
        self._held = held
        self._executors = executors
        self._spool = spool
        self._reporter = reporter
        self._recorder = recorder

    async def perform(self, held: Held) -> None:
        """See one attempt through. It is held until its report has been answered."""
        try:
            started, began = now_ms(), monotonic()
            executor = self._executors.find(held.task)
            outcome = await _execute(executor, held)
            result = _result(held, outcome, round((monotonic() - began) * 1000))
            self._recorder.ended(executor, held, outcome, started, result.duration_ms)
            if held.stopped is not StopReason.SHUTDOWN:
                await self._hand_over(held, result, outcome)
        finally:
            self._held.remove(held)

    async def _hand_over(self, held: Held, result: StepResult, outcome: Outcome) -> None:
        if not outcome.repeatable and not outcome.cancelled:
            hit("agent-runner.before-spool")
            await self._keep(result)
            hit("agent-runner.after-spool")
        verdict = await self._reporter.report(result, outcome.size)
        if verdict == "refused":
            # Not acknowledged: the step is handed out anew when its lease is over.
            self._spool.set_aside(result)
            return
        if held.message is not None:
            hit("agent-runner.before-ack")
            with contextlib.suppress(nats_errors.Error):
                await held.message.ack()
            hit("agent-runner.after-ack")
        self._spool.drop(result)
        hit("agent-runner.after-spool-delete")

    async def _keep(self, result: StepResult) -> None:
        try:
            await self._spool.put(result)
        except OSError as error:
            # Reported from memory then: worse only if this process dies before there is an answer.
            metrics.UNSPOOLED.inc()
            log.error("spool_write_failed", run_id=result.run_id, step_id=result.step_id, detail=str(error), todo=TODO)


async def _execute(executor: Executor, held: Held) -> Outcome:
    outcome: Outcome | None = None
    if held.stopped is None:
        held.phase = "executing"
        metrics.RUNNING.inc()
        try:
            outcome = await executor.execute(held)
        except asyncio.CancelledError:
            if held.stopped is None:
                raise  # not one attempt is stopped, the whole process is
        finally:
            metrics.RUNNING.dec()
    held.phase = "reporting"
    if held.stopped is not None:
        _take_back_cancellation()
        error = StepError(type=ErrorType.CANCELLED, message=STOPPED[held.stopped], retryable=False)
        return Outcome(error=error, cancelled=True)
    assert outcome is not None
    return outcome


def _take_back_cancellation() -> None:
    """The cancellation was for the work, and has been obeyed; the report still has to be made."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


def _result(held: Held, outcome: Outcome, duration_ms: int) -> StepResult:
    run_id, step_id, attempt = held.key
    return StepResult(
        run_id=run_id,
        step_id=step_id,
        attempt=attempt,
        token=held.token,
        output=outcome.output,
        error=outcome.error,
        cancelled=outcome.cancelled,
        duration_ms=duration_ms,
        usage=held.meter.usage,
        agent=held.agent,
    )
