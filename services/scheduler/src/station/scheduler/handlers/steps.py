"""What agent-runner asks: claims, heartbeats, reports, releases, announcements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from station.contracts.agents import Announced, AnnounceRunner
from station.contracts.work import (
    Assignment,
    Claim,
    Claims,
    ClaimSteps,
    Done,
    Heartbeat,
    HeartbeatAnswer,
    ReleaseSteps,
    ReportAnswer,
    ReportResults,
    StepRef,
    StepResult,
    StepTask,
)
from station.core import messages
from station.core.decision import Decision
from station.runtime import metrics, telemetry
from station.runtime.ids import new_id
from station.runtime.logging import get_logger
from station.runtime.rpc import RpcContext, refuse
from station.scheduler.engine.attempts import Attempts
from station.scheduler.engine.engine import Engine, NotStored
from station.scheduler.engine.loading import UnknownRun
from station.scheduler.engine.reconcile import Reconcile
from station.scheduler.handlers import refusals
from station.scheduler.handlers.catalog import Catalog
from station.scheduler.handlers.runners import Runners
from station.scheduler.handlers.versions import Versions
from station.scheduler.store.reader import Reader

log = get_logger("steps")

_LONGEST_WAIT_MS = 250
"""How long an attempt may wait in the queue before runners are given nothing past it."""

Verdict = Literal["accepted", "fenced"]

CLAIMS = metrics.counter("claims_total", "Claims by verdict.", ["verdict"])
REPORTS = metrics.counter("reports_total", "Reports by verdict.", ["verdict"])

_OUTPUT_BYTES = 512 * 1024
_OUTPUT = """
SELECT output FROM workflow_run_steps
WHERE run_id = ? AND step_id = ? AND attempt = ? AND status = 'SUCCEEDED' AND length(output) <= ?
"""


class StepRequests:
    """The scheduler's side of the protocol with runners."""

    def __init__(
        self,
        *,
        engine: Engine,
        attempts: Attempts,
        reconcile: Reconcile,
        catalog: Catalog,
        runners: Runners,
        versions: Versions,
        reader: Reader,
    ) -> None:
        self._engine = engine
        self._attempts = attempts
        self._reconcile = reconcile
        self._catalog = catalog
        self._runners = runners
        self._versions = versions
        self._reader = reader

    async def claim(self, request: ClaimSteps, _: RpcContext) -> Claims:
        """Give attempts to a runner; all that can be given in one transaction."""
        self._check_boot(request.runner, request.boot)
        runner = f"{request.runner}#{request.boot}"
        ids = [new_id("ar") for _ in request.steps]
        answers = await self._engine.submit_many(
            [
                (
                    step.run_id,
                    messages.ClaimStep(
                        step_id=step.step_id,
                        attempt=step.attempt,
                        runner=runner,
                        agent_run_id=agent_run_id,
                        handed_out=self._attempts.handed_out(step),
                    ),
                )
                for step, agent_run_id in zip(request.steps, ids, strict=True)
            ]
        )
        await self._void_if_outdated(request.runner, request.boot)
        room = _OUTPUT_BYTES // max(1, len(request.steps))
        claims = [await self._claim(step, answer, room) for step, answer in zip(request.steps, answers, strict=True)]
        for claim in claims:
            CLAIMS.labels(claim.verdict).inc()
        return Claims(claims=tuple(claims))

    async def heartbeat(self, request: Heartbeat, _: RpcContext) -> HeartbeatAnswer:
        """Renew leases, and tell which are lost."""
        return HeartbeatAnswer(lost=self._attempts.extend(request.steps, request.usages))

    async def report(self, request: ReportResults, _: RpcContext) -> ReportAnswer:
        """Take outcomes; all of them in one transaction."""
        runner = f"{request.runner}#{request.boot}"
        environments, wants = self._assignable(request), request.wants
        reports: list[tuple[str, messages.AnyMessage]] = []
        for result in request.results:
            next_ids = (new_id("ar"),) if environments and wants > 0 else ()
            wants -= len(next_ids)
            reports.append((result.run_id, _report(result, runner, next_ids, environments)))
        answers = await self._engine.submit_many(reports)
        if environments:
            await self._void_if_outdated(request.runner, request.boot)
        verdicts: list[Verdict] = [
            _verdict(result, answer) for result, answer in zip(request.results, answers, strict=True)
        ]
        for verdict in verdicts:
            REPORTS.labels(verdict).inc()
        return ReportAnswer(verdicts=tuple(verdicts), assigned=self._assignments(answers))

    def _assignable(self, request: ReportResults) -> frozenset[str]:
        """Whose agents the runner has, if it may be given what follows: others that wait are not overtaken for long."""
        if not request.wants or self._attempts.waited_ms() > _LONGEST_WAIT_MS:
            return frozenset()
        return self._runners.environments_of(request.runner, request.boot)

    def _assignments(self, answers: Sequence[Decision | Exception]) -> tuple[Assignment, ...]:
        return tuple(
            Assignment(
                task=assigned.task,
                token=assigned.token,
                agent_run_id=assigned.agent_run_id,
                lease_seconds=self._attempts.lease_ms / 1000,
                traceparent=self._traceparent(assigned.task),
            )
            for answer in answers
            if isinstance(answer, Decision)
            for assigned in answer.assigned
        )

    def _traceparent(self, task: StepTask) -> str | None:
        slot = self._engine.runs.cached(task.run_id)
        if slot is None:
            return None
        span = telemetry.step_span_id(task.run_id, task.step_id, task.attempt)
        return telemetry.traceparent(slot.trace_id, span)

    async def release(self, request: ReleaseSteps, _: RpcContext) -> Done:
        """Take attempts back that a runner gives up, and hand them out anew."""
        reason = f"runner {request.runner} gave it back"
        await self._reconcile.hand_out_again(
            [
                (
                    step.run_id,
                    messages.HandOutAgain(step_id=step.step_id, attempt=step.attempt, token=step.token, reason=reason),
                )
                for step in request.steps
            ]
        )
        return Done()

    async def announce(self, request: AnnounceRunner, _: RpcContext) -> Announced:
        """Take a runner's catalog; what its earlier boots held is handed out anew."""
        self._check_boot(request.runner, request.boot)
        await self._catalog.announce(request)
        self._runners.note_environments(request.runner, request.environments)
        if self._runners.note(request.runner, request.boot):
            await self._reconcile.runner_restarted(request.runner, request.boot)
            await self._runners.keep(request.runner, request.boot)
        return Announced(missing=self._versions.missing(agent.digest for agent in request.agents))

    async def _void_if_outdated(self, runner: str, boot: int) -> None:
        """A new start may have been announced while the claim of an older one was being decided, and not seen it."""
        known = self._runners.boot_of(runner)
        if known is not None and boot < known:
            await self._reconcile.hand_out_again(self._attempts.of_earlier_boots(runner, known))

    def _check_boot(self, runner: str, boot: int) -> None:
        known = self._runners.boot_of(runner)
        if known is not None and boot < known:
            raise refuse(
                409,
                "runner_outdated",
                f"Runner {runner!r} has been started anew (boot {known}); this is boot {boot} and must stop.",
            )

    async def _claim(self, step: StepRef, answer: Decision | Exception, room: int) -> Claim:
        if isinstance(answer, UnknownRun):
            return Claim(verdict="skip", reason="there is no such run", unknown=True)
        if isinstance(answer, Exception):  # the other claims of the request may have been given
            log.error("claim_failed", run_id=step.run_id, step_id=step.step_id, error=repr(answer))
            return Claim(verdict="busy", reason="the scheduler could not decide it")
        if answer.verdict == "run":
            return Claim(
                verdict="run",
                token=answer.token,
                agent_run_id=answer.agent_run_id,
                lease_seconds=self._attempts.lease_ms / 1000,
            )
        if answer.verdict == "busy":
            return Claim(verdict="busy", reason="another runner holds it")
        return Claim(verdict="skip", reason="the attempt is over", output=await self._output(step, room))

    async def _output(self, step: StepRef, room: int) -> object:
        row = await self._reader.row(_OUTPUT, (step.run_id, step.step_id, step.attempt, room))
        return None if row is None or row[0] is None else msgspec.json.decode(row[0])


def _report(
    result: StepResult, runner: str, next_ids: tuple[str, ...], environments: frozenset[str]
) -> messages.AnyMessage:
    if result.cancelled:
        return messages.HandOutAgain(
            step_id=result.step_id,
            attempt=result.attempt,
            token=result.token,
            reason=f"{runner} was told to stop",
            runner=runner,
            usage=result.usage,
        )
    return messages.ReportStep(
        step_id=result.step_id,
        attempt=result.attempt,
        token=result.token,
        runner=runner,
        output=result.output,
        error=result.error,
        usage=result.usage,
        agent=result.agent,
        next_ids=next_ids,
        environments=environments,
    )


def _verdict(result: StepResult, answer: Decision | Exception) -> Verdict:
    if isinstance(answer, UnknownRun):
        return "fenced"
    if isinstance(answer, NotStored):
        raise refusals.not_stored(answer)
    if isinstance(answer, Exception):
        log.error("report_failed", run_id=result.run_id, step_id=result.step_id, error=repr(answer))
        raise refuse(500, "report_failed", f"The report of step {result.step_id} could not be decided; send it again.")
    return "accepted" if answer.verdict == "accepted" else "fenced"
