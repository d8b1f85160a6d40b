"""The stream as a front door: other systems start runs, signal them and decide approvals by publishing JSON.

A message that cannot be used is kept as a dead letter, counted and listed by the doctor; it is never tried for ever.
The messages of one run are taken in the order in which the stream has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import msgspec
from nats import errors as nats_errors
from nats.aio.msg import Msg
from nats.js import errors as js_errors

from station.contracts import headers as names
from station.contracts import subjects
from station.contracts.approvals import ApprovalView, Decide, Principal
from station.contracts.problems import Problem
from station.contracts.runs import Instruction, SignalRun, StartRun
from station.runtime import codec, metrics, streams
from station.runtime.bus import Bus
from station.runtime.errors import Refused, Unavailable, Undecodable
from station.runtime.failpoints import hit
from station.runtime.logging import get_logger
from station.scheduler.engine.dead_letters import DeadLetters
from station.scheduler.handlers.runs import RunCommands

log = get_logger("intake")

TAKEN = metrics.counter("intake_total", "Messages from other systems, by what became of them.", ["kind", "outcome"])
_BATCH = 64
_LATER_SECONDS = 1
_FORGOTTEN_SECONDS = 10.0
"""A message that was to come again and did not: the stream was wiped meanwhile."""
_PATIENCE = 10
"""How often a message is offered to a service that fails at it."""


class Intake:
    """Consumes ``wf.task.run.*`` and ``wf.task.resume.*``."""

    def __init__(self, *, bus: Bus, runs: RunCommands, letters: DeadLetters) -> None:
        self._bus = bus
        self._runs = runs
        self._letters = letters
        self._waiting: dict[str, dict[int, float]] = {}
        """By run: places in the stream of messages that must come again, and until when that is believed."""

    async def run(self) -> None:
        """Consume for ever."""
        await asyncio.gather(
            self._consume(subjects.START_CONSUMER, self._start), self._consume(subjects.RESUME_CONSUMER, self._resume)
        )

    async def _consume(self, durable: str, handle: Callable[[Msg, str], Any]) -> None:
        fetcher = streams.Fetcher(self._bus, subjects.TASKS_STREAM, durable)
        async for batch in fetcher.batches(max=_BATCH):
            by_run: dict[str, list[Msg]] = {}
            for message in batch:
                by_run.setdefault(message.subject.split(".")[3], []).append(message)
            await asyncio.gather(*(self._in_order(run_id, found, handle) for run_id, found in by_run.items()))

    async def _in_order(self, run_id: str, messages: list[Msg], handle: Callable[[Msg, str], Any]) -> None:
        """Take the messages of a run in the order of the stream; what must wait has those that follow wait as well."""
        for message in sorted(messages, key=_place):
            place, now = _place(message), monotonic()
            if any(earlier < place and now < until for earlier, until in self._waiting.get(run_id, {}).items()):
                taken = await self._later(message, message.subject.split(".")[2], "one before it must come again first")
            else:
                taken = await self._take(run_id, message, handle)
            waiting = self._waiting.setdefault(run_id, {})
            if taken:
                waiting.pop(place, None)
            else:
                waiting[place] = now + _FORGOTTEN_SECONDS
            if not any(now < until for until in waiting.values()):
                del self._waiting[run_id]

    async def _take(self, run_id: str, message: Msg, handle: Callable[[Msg, str], Any]) -> bool:
        """Take one message; False if it must come again."""
        kind = message.subject.split(".")[2]
        try:
            await handle(message, run_id)
        except Undecodable as error:
            return await self._set_aside(message, kind, f"not readable: {error}")
        except Refused as error:
            if _may_pass(error.failure.status, message):
                return await self._later(message, kind, str(error))
            return await self._set_aside(message, kind, str(error))
        except Unavailable as error:
            return await self._later(message, kind, str(error))
        except Exception as error:
            log.exception("intake_crashed", subject=message.subject)
            return await self._set_aside(message, kind, f"the scheduler failed on it: {error!r}")
        TAKEN.labels(kind, "taken").inc()
        hit("intake.before-ack")
        await _answer(message.ack())
        hit("intake.after-ack")
        return True

    async def _start(self, message: Msg, run_id: str) -> None:
        request = _decode(message, StartRun)
        started_by = request.actor if request.actor.startswith("bus") else f"bus:{request.actor}"
        traceparent = (message.headers or {}).get(names.TRACEPARENT) or request.traceparent
        # The run id is the identity: the same message again is the same run.
        await self._runs.start(
            msgspec.structs.replace(
                request, run_id=run_id, actor=started_by, idempotency_key=None, traceparent=traceparent
            )
        )

    async def _resume(self, message: Msg, run_id: str) -> None:
        wanted = _decode(message, Instruction)
        if wanted.approval_id is not None:
            await self._decide(wanted, run_id, f"bus:{_identity_of(message)}")
            return
        if not wanted.name:
            raise Undecodable(_NOTHING_TO_DO)
        identity = wanted.id or (message.headers or {}).get("Nats-Msg-Id") or _identity_of(message)
        signal = SignalRun(run_id=run_id, name=wanted.name, payload=wanted.payload, id=identity, actor="bus")
        try:
            await self._runs.signal(signal)
        except Refused as refused:
            if refused.failure.code != "run_not_found":
                raise
            await self._after_start(run_id)
            await self._runs.signal(signal)

    async def _after_start(self, run_id: str) -> None:
        """Starts and signals are taken side by side, so a signal may overtake the start that was published before it.

        Raises Unavailable while that start is in the stream.
        """
        try:
            await self._bus.js.get_last_msg(subjects.TASKS_STREAM, subjects.task_run(run_id))
        except js_errors.NotFoundError:
            return
        except (nats_errors.Error, TimeoutError) as error:
            raise Unavailable(f"the stream does not answer: {error}") from error
        raise Unavailable("the start of its run is still to be taken")

    async def _decide(self, wanted: Instruction, run_id: str, key: str) -> None:
        """A decision goes to approval-service like any other: it knows who may decide."""
        if wanted.decision not in ("approve", "reject"):
            raise Undecodable(_NO_DECISION)
        request = Decide(
            run_id=run_id,
            approval_id=wanted.approval_id or "",
            decision=wanted.decision,
            principal=Principal(user=wanted.by or "", auth="bus"),
            comment=wanted.comment,
            summary_digest=wanted.summary_digest,
            idempotency_key=key,  # a redelivery is answered as the first was
        )
        await self._bus.request(subjects.INBOX_DECIDE, request, ApprovalView, timeout=5.0)

    async def _later(self, message: Msg, kind: str, why: str) -> bool:
        log.warning("intake_later", subject=message.subject, detail=why)
        TAKEN.labels(kind, "later").inc()
        await _answer(message.nak(delay=_LATER_SECONDS))
        return False

    async def _set_aside(self, message: Msg, kind: str, why: str) -> bool:
        """Keep a message that nobody can use; only when it is kept may the stream forget it."""
        try:
            await self._letters.keep(message.subject, message.data, why)
        except Exception as error:  # noqa: BLE001 - a full disk must not lose it
            return await self._later(message, kind, f"not kept: {error}")
        log.warning("message_set_aside", subject=message.subject, detail=why)
        TAKEN.labels(kind, "set_aside").inc()
        await _answer(message.term())
        return True


def _decode(message: Msg, wanted: type[Any]) -> Any:
    return codec.read(message.headers, message.data, wanted)


def _may_pass(status: int, message: Msg) -> bool:
    """Whether a refusal is not the message's fault: a service is away, or has failed, though not time after time."""
    return status == 503 or (status == 500 and message.metadata.num_delivered < _PATIENCE)


def _place(message: Msg) -> int:
    return message.metadata.sequence.stream


async def _answer(acknowledgement: Awaitable[None]) -> None:
    """Tell the stream. If that is lost, the message comes again, and what it does is done already."""
    try:
        await acknowledgement
    except nats_errors.Error as error:
        log.warning("not_acknowledged", error=str(error) or type(error).__name__)


def _identity_of(message: Msg) -> str:
    """Name a signal after its subject's last token, else its place in the stream: a redelivery has the same."""
    _, _, _, _, *own = message.subject.split(".")
    if own:
        return ".".join(own)
    metadata = message.metadata
    return f"bus-{int(metadata.timestamp.timestamp() * 1000)}-{metadata.sequence.stream}"


_NO_DECISION = Problem("instruction_invalid", "/decision", "A decision is approve or reject.", "Say which.")
_NOTHING_TO_DO = Problem("instruction_empty", "", "It names neither a signal nor an approval.", 'Send {"name": "…"}.')
