"""Fetches tasks, claims them, and starts their execution, with as many at a time as there are slots.

The rule: nothing is executed without a claim, and nothing is fetched that there is no slot for. Two lanes take turns,
so that one batch is being fetched while another is being claimed.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine, Iterable, Sequence

from nats import errors as nats_errors
from nats.aio.msg import Msg

from station.agent_runner import claims, metrics
from station.agent_runner.attempts import Attempts
from station.agent_runner.claims import Offer
from station.agent_runner.heartbeat import Heartbeats
from station.agent_runner.held import Held, HeldSteps, Key
from station.agent_runner.scheduler import Scheduler
from station.agent_runner.slots import Slots
from station.agent_runner.spool import Identity
from station.contracts import subjects
from station.contracts.work import Assignment, Claim
from station.runtime import letters
from station.runtime.bus import Bus
from station.runtime.errors import Refused, Undecodable
from station.runtime.failpoints import hit
from station.runtime.lifecycle import Stop
from station.runtime.logging import get_logger
from station.runtime.streams import Fetcher

log = get_logger("worker")
LANES = 2
FETCH_SECONDS = 1.0
"""How long a fetch waits at the broker; a stop waits as long, so that no message is lost to it."""
BUSY_SECONDS = 1.0
REFUSED_SECONDS = 5.0
STOP_SECONDS = 0.5
"""How long a claim under way at a stop may still take."""


class Worker:
    """The loop of the runner."""

    def __init__(
        self,
        *,
        bus: Bus,
        scheduler: Scheduler,
        identity: Identity,
        held: HeldSteps,
        heartbeats: Heartbeats,
        attempts: Attempts,
        concurrency: int,
    ) -> None:
        self._bus = bus
        self._scheduler = scheduler
        self._identity = identity
        self._held = held
        self._heartbeats = heartbeats
        self._attempts = attempts
        self._concurrency = concurrency
        self._slots = Slots(concurrency)
        self._claiming: set[Key] = set()
        self._working = False

    def takes_more(self) -> bool:
        """Whether attempts may be assigned to it: while it works, and not once it has been told to stop."""
        return self._working and self._slots.open

    async def run(self, stop: Stop) -> None:
        """Work until told to stop. What is executed then goes on; see `shutdown`."""
        count = min(LANES, self._concurrency)
        lanes = [asyncio.create_task(self._lane(stop, self._concurrency // count)) for _ in range(count)]
        stopping = asyncio.create_task(stop.wait())
        self._working = True
        await asyncio.wait({stopping, *lanes}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        self._slots.close()
        _, waiting = await asyncio.wait(lanes, timeout=FETCH_SECONDS + STOP_SECONDS)
        for lane in waiting:
            lane.cancel()
        for outcome in await asyncio.gather(*lanes, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    async def _lane(self, stop: Stop, share: int) -> None:
        fetcher = Fetcher(self._bus, subjects.TASKS_STREAM, subjects.RUNNER_CONSUMER)
        while places := await self._slots.take(share):
            started = 0
            try:
                messages = await fetcher.fetch(places, FETCH_SECONDS)
                if stop.is_set():
                    await _each(message.nak() for message in messages)
                else:
                    started = await self._accept(messages)
            finally:
                self._slots.give(places - started)

    async def _accept(self, messages: Sequence[Msg]) -> int:
        """Claim a batch and start what may run; how many were started."""
        offers = await self._new_offers(messages)
        if not offers:
            return 0
        self._claiming.update(offer.key for offer in offers)
        hit("agent-runner.before-claim")
        try:
            answers = await claims.claim(self._scheduler, self._identity, offers)
        except Refused as refused:
            log.error("claim_refused", code=refused.failure.code, detail=refused.failure.detail)
            await _each(offer.message.nak(REFUSED_SECONDS) for offer in offers)
            return 0
        finally:
            self._claiming.difference_update(offer.key for offer in offers)
        hit("agent-runner.after-claim")
        return sum([await self._settle(offer, answer) for offer, answer in zip(offers, answers, strict=True)])

    async def _new_offers(self, messages: Sequence[Msg]) -> list[Offer]:
        """Leave out what is no task, and what is here already: the broker delivers again what takes long."""
        offers: dict[Key, Offer] = {}
        unusable: list[Coroutine[None, None, None]] = []
        for message in messages:
            try:
                offer = claims.read(message)
            except Undecodable as error:
                unusable.append(self._set_aside(message, f"not readable: {error}"))
                continue
            if (held := self._held.get(offer.key)) is not None:
                await _again(held, message)
            elif offer.key not in self._claiming:
                offers[offer.key] = offer
        await asyncio.gather(*unusable)
        return list(offers.values())

    async def _set_aside(self, message: Msg, why: str) -> None:
        if await letters.set_aside(self._bus, message, why):
            metrics.POISON.inc()

    async def _settle(self, offer: Offer, claim: Claim) -> bool:
        match claim.verdict:
            case "run" if (held := self._held.get(offer.key)) is not None:
                # It was assigned while its claim was under way: it is being executed already.
                await _again(held, offer.message)
            case "run" if self._held.is_over(offer.key, claim.token):
                # … and it was quick.
                await _each([offer.message.ack()])
            case "run":
                self._start(offer, claim)
                return True
            case "busy":
                await _each([offer.message.nak(BUSY_SECONDS)])
            case "skip" if claim.unknown:
                await self._set_aside(offer.message, "there is no such run")
            case "skip":
                await _each([offer.message.ack()])
        return False

    def accept_assigned(self, assigned: Sequence[Assignment]) -> None:
        """Start what came with the answer to a report. The attempts that were reported make room for it just now."""
        hit("agent-runner.after-assignment")
        for one in assigned:
            task = one.task
            if self._held.get((task.run_id, task.step_id, task.attempt)) is None:
                claim = Claim(
                    verdict="run", token=one.token, agent_run_id=one.agent_run_id, lease_seconds=one.lease_seconds
                )
                self._slots.overdraw()
                self._begin(Held(task, claim, None, one.traceparent))

    def _start(self, offer: Offer, claim: Claim) -> None:
        self._begin(Held(offer.task, claim, offer.message, offer.traceparent))

    def _begin(self, held: Held) -> None:
        self._heartbeats.expect(held.claim.lease_seconds)
        self._held.add(held)
        held.work = asyncio.create_task(self._attempts.perform(held))
        held.work.add_done_callback(self._ended)

    def _ended(self, work: asyncio.Task[None]) -> None:
        self._slots.give()
        if not work.cancelled() and (error := work.exception()) is not None:
            log.error("attempt_crashed", exc_info=error)


async def _again(held: Held, message: Msg) -> None:
    """A task that is being worked on here comes once more.

    If it is the same message, the broker lost patience. If not, the scheduler has handed the attempt out anew: then our
    token is void, the next heartbeat says so, and the message must outlive what we hold.
    """
    if held.message is not None and message.metadata.sequence.stream == held.message.metadata.sequence.stream:
        held.message = message
        await _each([message.in_progress()])
    else:
        await _each([message.nak(BUSY_SECONDS)])


async def _each(answers: Iterable[Awaitable[object]]) -> None:
    """Tell the broker. If it is away the message comes again by itself."""
    for answer in answers:
        with contextlib.suppress(nats_errors.Error):
            await answer
