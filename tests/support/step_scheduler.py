"""The scheduler as a runner knows it: it answers claims, heartbeats and reports on the real bus, from memory.

It remembers every request in order. A test says what it answers, takes it away, and waits for what it should see.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from station.contracts import subjects
from station.contracts.agents import Announced, AnnounceRunner
from station.contracts.headers import TRACEPARENT
from station.contracts.work import (
    Assignment,
    CancelSteps,
    Claim,
    Claims,
    ClaimSteps,
    Done,
    Heartbeat,
    HeartbeatAnswer,
    HeldStep,
    KeepLetter,
    ReleaseSteps,
    ReportAnswer,
    ReportResults,
    StepResult,
    StepTask,
)
from station.runtime import codec
from station.runtime.bus import Bus
from station.runtime.rpc import Endpoint, RpcContext, Served, serve
from station.runtime.streams import ensure_consumer, ensure_streams

T = TypeVar("T")
PATIENCE = 20.0
RUN = "run_1"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class StepScheduler:
    """One scheduler, until `stop`; `start` brings it back with its memory."""

    def __init__(self, bus: Bus, lease: float = 15.0) -> None:
        self.bus = bus
        self.lease = lease
        self.seen: list[Any] = []
        self.claims: dict[str, list[Claim]] = {}
        """Answers for a step, used up in order; after that it may run."""
        self.answering: dict[str, asyncio.Event] = {}
        """A claim of a step is answered once this is set."""
        self.lost: set[str] = set()
        self.follow_ups: dict[str, StepTask] = {}
        """What is assigned with the answer to the report of a step, if the runner wants it."""
        self.refusals: list[Exception] = []
        """Raised, in order, instead of answering reports."""
        self._tokens: dict[tuple[str, int], tuple[str, int]] = {}
        self._last = 100
        self._changed = asyncio.Condition()
        self._served: Served | None = None

    async def start(self) -> None:
        await ensure_streams(self.bus)
        await ensure_consumer(
            self.bus, subjects.TASKS_STREAM, subjects.RUNNER_CONSUMER, subjects.RUNNER_FILTER, ack_wait=30
        )
        endpoints = [
            Endpoint(subjects.STEP_CLAIM, ClaimSteps, self._claim),
            Endpoint(subjects.STEP_HEARTBEAT, Heartbeat, self._heartbeat),
            Endpoint(subjects.STEP_REPORT, ReportResults, self._report),
            Endpoint(subjects.STEP_RELEASE, ReleaseSteps, self._done),
            Endpoint(subjects.RUNNER_ANNOUNCE, AnnounceRunner, self._announced),
            Endpoint(subjects.LETTER_KEEP, KeepLetter, self._done),
        ]
        self._served = await serve(
            self.bus, name="station-scheduler", version="0.1.0", description="test", endpoints=endpoints
        )

    async def stop(self) -> None:
        assert self._served is not None
        await self._served.stop()

    async def publish(self, step: str, agent: str, attempt: int = 1, **fields: Any) -> StepTask:
        """Hand out one attempt. ``step`` is padded to the form of a step id."""
        task = task_of(step, agent, attempt, **fields)
        subject = subjects.task_step(RUN, task.step_id, attempt)
        headers = {"content-type": codec.MSGPACK, TRACEPARENT: TRACE}
        await self.bus.js.publish(subject, codec.encode(task), headers=headers)
        return task

    async def cancel(self, steps: tuple[HeldStep, ...] | None = None) -> None:
        await self.bus.publish(subjects.control_cancel(RUN), CancelSteps(run_id=RUN, steps=steps))

    async def until(self, condition: Callable[[], T]) -> T:
        """Wait until something that was seen makes it true; its value."""
        async with asyncio.timeout(PATIENCE), self._changed:
            return await self._changed.wait_for(condition)  # pyright: ignore[reportReturnType]

    def of(self, kind: type[T]) -> list[T]:
        return [message for message in self.seen if isinstance(message, kind)]

    def results(self, step: str) -> list[StepResult]:
        """What was reported of a step."""
        return [
            result for report in self.of(ReportResults) for result in report.results if result.step_id == step_id(step)
        ]

    async def result(self, step: str) -> StepResult:
        """The first report of a step."""
        return (await self.until(lambda: self.results(step)))[0]

    def token(self, step: str, attempt: int = 1) -> int:
        return self._tokens[step_id(step), attempt][1]

    def held(self, step: str) -> HeldStep:
        return HeldStep(run_id=RUN, step_id=step_id(step), attempt=1, token=self.token(step))

    def revoke(self, step: str, attempt: int = 1) -> None:
        """Its token is void from here on; the next claim gets another."""
        del self._tokens[step_id(step), attempt]

    def claimed(self, step: str) -> int:
        """How often it was claimed."""
        return sum(ref.step_id == step_id(step) for claim in self.of(ClaimSteps) for ref in claim.steps)

    async def pending(self) -> int:
        """Messages of the stream that nobody has acknowledged."""
        info = await self.bus.js.stream_info(subjects.TASKS_STREAM)
        return info.state.messages

    async def _see(self, message: object) -> None:
        async with self._changed:
            self.seen.append(message)
            self._changed.notify_all()

    async def _claim(self, request: ClaimSteps, context: RpcContext) -> Claims:
        holder = f"{request.runner}#{request.boot}"
        answers = [self._answer(holder, step.step_id, step.attempt) for step in request.steps]
        await self._see(request)
        for step in request.steps:
            if (answering := self.answering.get(step.step_id)) is not None:
                await answering.wait()
        return Claims(claims=tuple(answers))

    def _answer(self, holder: str, step: str, attempt: int) -> Claim:
        if prepared := self.claims.get(step):
            return prepared.pop(0)
        known = self._tokens.get((step, attempt))
        if known is None or known[0] != holder:
            self._last += 1
            known = self._tokens[step, attempt] = (holder, self._last)
        return Claim(verdict="run", token=known[1], agent_run_id=f"ar_{step[:4]}", lease_seconds=self.lease)

    async def _heartbeat(self, request: Heartbeat, context: RpcContext) -> HeartbeatAnswer:
        await self._see(request)
        known = {token for _, token in self._tokens.values()}
        lost = (held for held in request.steps if held.step_id in self.lost or held.token not in known)
        return HeartbeatAnswer(lost=tuple(lost))

    async def _report(self, request: ReportResults, context: RpcContext) -> ReportAnswer:
        await self._see(request)
        if self.refusals:
            raise self.refusals.pop(0)
        known = {token for _, token in self._tokens.values()}
        following = [self.follow_ups.get(result.step_id) for result in request.results] if request.wants else []
        return ReportAnswer(
            verdicts=tuple("accepted" if r.token in known else "fenced" for r in request.results),
            assigned=tuple(self._assign(task, f"{request.runner}#{request.boot}") for task in following if task),
        )

    def _assign(self, task: StepTask, holder: str) -> Assignment:
        claim = self._answer(holder, task.step_id, task.attempt)
        return Assignment(
            task=task, token=claim.token or 0, agent_run_id=claim.agent_run_id or "", lease_seconds=self.lease
        )

    async def _announced(self, request: AnnounceRunner, context: RpcContext) -> Announced:
        await self._see(request)
        return Announced()

    async def _done(self, request: object, context: RpcContext) -> Done:
        await self._see(request)
        return Done()


def step_id(step: str) -> str:
    return step.ljust(32, "0")


def task_of(step: str, agent: str, attempt: int = 1, **fields: Any) -> StepTask:
    task = StepTask(
        run_id=RUN,
        step_id=step_id(step),
        attempt=attempt,
        workflow_id="wf",
        state_name="state",
        environment="test",
        agent=agent,
        idempotency_key=f"{RUN}:{step_id(step)}:{attempt}",
    )
    return msgspec.structs.replace(task, **fields)
