"""The pass that never ends: streams and consumers exist, expired leases are revoked, lost tasks are sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from nats import errors as nats_errors
from nats.js import errors as js_errors

from station.contracts import subjects
from station.contracts.statuses import StepStatus
from station.contracts.work import StepRef
from station.core.messages import HandOutAgain
from station.core.tasks import task_of
from station.runtime import metrics, streams
from station.runtime.bus import Bus
from station.runtime.failpoints import hit
from station.runtime.logging import get_logger
from station.scheduler.engine.attempts import Attempts
from station.scheduler.engine.engine import Engine
from station.scheduler.engine.loading import UnknownRun
from station.scheduler.engine.record import Outgoing, task_message
from station.scheduler.engine.relay import Relay

log = get_logger("reconcile")

_BATCH = 500
_SENT_IN_A_PASS = 5_000

MENDED = metrics.counter("recoveries_total", "What reconcile had to mend.", ["what"])
LAG = metrics.gauge("consumer_lag", "Messages that a consumer has not been given yet.", ["consumer"])
UNACKED = metrics.gauge(
    "consumer_unacked", "Messages that a consumer was given and has not acknowledged.", ["consumer"]
)

_CONSUMERS = (
    (subjects.RUNNER_CONSUMER, subjects.RUNNER_FILTER),
    (subjects.APPROVAL_CONSUMER, subjects.APPROVAL_FILTER),
    (subjects.START_CONSUMER, subjects.START_FILTER),
    (subjects.RESUME_CONSUMER, subjects.RESUME_FILTER),
)

_OWN = frozenset({subjects.START_CONSUMER, subjects.RESUME_CONSUMER})
"""Only the scheduler fetches from these, and there is one scheduler."""


class Reconcile:
    """Mends, for ever, what crashes and wipes have left."""

    def __init__(
        self,
        *,
        bus: Bus,
        engine: Engine,
        attempts: Attempts,
        relay: Relay,
        now: Callable[[], int],
        period: float,
    ) -> None:
        self._bus = bus
        self._engine = engine
        self._attempts = attempts
        self._relay = relay
        self._now = now
        self._period = period
        self._soon = asyncio.Event()
        self._ensured: set[str] = set()
        self._backlog = 0
        """Tasks that no runner has fetched."""
        relay.on_missing_stream = self._soon.set

    async def run(self) -> None:
        """Pass after pass."""
        while True:
            await self.once()
            self._soon.clear()
            try:
                await asyncio.wait_for(self._soon.wait(), self._period)
                await asyncio.sleep(0.05)  # a missing stream is reported by every message that meets it
            except TimeoutError:
                continue

    async def once(self) -> None:
        """One pass; whatever fails is tried again in the next."""
        heard = await self._hear()
        try:
            if heard:
                await self._revoke_expired()
                await self._send_overdue()
            else:
                self._attempts.spare_all()
        except Exception:
            log.exception("reconcile_failed")

    async def _hear(self) -> bool:
        """Make sure of the streams, and say whether the broker answers: only then can runners be heard."""
        try:
            await self.ensure_streams()
        except (nats_errors.Error, TimeoutError) as error:
            log.warning("streams_not_ensured", error=str(error) or type(error).__name__)
            return False
        return True

    async def ensure_streams(self) -> None:
        """Make streams and consumers that are missing; a stream that was wiped has lost every unclaimed task."""
        if await streams.ensure_streams(self._bus):
            MENDED.labels("stream").inc()
            self._attempts.suspect_all()
        for durable, subject in _CONSUMERS:
            await self._ensure_consumer(durable, subject)

    async def _ensure_consumer(self, durable: str, subject: str) -> None:
        """Asking costs the broker less than making: it writes down every consumer that it is told of."""
        if durable in self._ensured:
            try:
                found = await self._bus.js.consumer_info(subjects.TASKS_STREAM, durable)
            except js_errors.NotFoundError:
                MENDED.labels("consumer").inc()
            else:
                LAG.labels(durable).set(found.num_pending or 0)
                if durable == subjects.RUNNER_CONSUMER:
                    self._backlog = found.num_pending or 0
                UNACKED.labels(durable).set(found.num_ack_pending or 0)
                return
        elif durable in _OWN:
            # What the scheduler before had fetched and not acknowledged would come again after half a minute only.
            await streams.reset_consumer(self._bus, subjects.TASKS_STREAM, durable, subject)
        await streams.ensure_consumer(self._bus, subjects.TASKS_STREAM, durable, subject)
        self._ensured.add(durable)

    async def hand_out_again(self, pairs: Sequence[tuple[str, HandOutAgain]]) -> None:
        """Submit messages that void tokens and hand attempts out anew."""
        for start in range(0, len(pairs), _BATCH):
            batch = pairs[start : start + _BATCH]
            answers = await self._engine.submit_many(batch)
            for (run_id, message), answer in zip(batch, answers, strict=True):
                if isinstance(answer, UnknownRun):
                    self._attempts.let_go(run_id, message)
                elif isinstance(answer, Exception):
                    log.error("not_handed_out_again", run_id=run_id, step_id=message.step_id, error=repr(answer))
                elif answer.events:
                    MENDED.labels("lease").inc()
                else:
                    self._attempts.let_go(run_id, message)

    async def runner_restarted(self, runner: str, boot: int) -> None:
        """Everything that earlier boots of a runner had fetched or claimed is free again."""
        hit("scheduler.before-consumer-reset")
        try:
            if await streams.reset_consumer(
                self._bus, subjects.TASKS_STREAM, subjects.RUNNER_CONSUMER, subjects.RUNNER_FILTER
            ):
                MENDED.labels("consumer").inc()
        except (nats_errors.Error, TimeoutError) as error:
            log.warning("consumer_not_reset", error=str(error) or type(error).__name__)
        hit("scheduler.after-consumer-reset")
        await self.hand_out_again(self._attempts.of_earlier_boots(runner, boot))

    async def _revoke_expired(self) -> None:
        await self.hand_out_again(self._attempts.expired())

    async def _send_overdue(self) -> None:
        for ref, sent in self._attempts.overdue(_SENT_IN_A_PASS):
            # Delivered, for no other is left to be, and not claimed: who got it is frozen or gone, and it blocks its
            # subject until the broker's patience ends. With others still waiting it may just be one of them.
            await self._send_again(ref, replaces=sent and not self._backlog)

    async def _send_again(self, ref: StepRef, *, replaces: bool) -> None:
        try:
            slot = await self._engine.runs.get(ref.run_id)
        except UnknownRun:
            self._attempts.forget(ref)
            return
        step = slot.run.open.get(ref.step_id)
        waits = step is not None and step.attempt == ref.attempt and step.status is StepStatus.PENDING
        if step is None or not waits or slot.run.paused or slot.pending:
            if slot.pending == 0:
                self._attempts.forget(ref)
            return
        task = task_of(slot.program, slot.run, step)
        self._relay.send(
            Outgoing(
                id=0,
                run_id=ref.run_id,
                events=[],
                tasks=[task_message(task, slot.trace_id, replaces=replaces)],
                trace_id=slot.trace_id,
                created_at=self._now(),
            )
        )
