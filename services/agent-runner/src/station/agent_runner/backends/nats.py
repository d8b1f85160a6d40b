"""The ``nats`` backend: a program anywhere answers a request on ``agent.<name>``, and so is an agent.

The rule: the program is told when nobody waits for its answer any more (``<subject>.cancel``), and one that says that
it works is believed for half a minute.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from nats import errors as nats_errors
from nats.aio.msg import Msg

from station.agent_runner.backends.protocol import AgentCall, Answer, Misconfigured
from station.agent_runner.backends.request import program_input
from station.agent_runner.failures import FINAL, AttemptFailed, agent_error, too_large
from station.contracts import subjects
from station.contracts.errors import ErrorType, StepError
from station.contracts.headers import AGENT_ERROR, AGENT_STATUS, IDEMPOTENCY_KEY, TRACEPARENT
from station.runtime.bus import Bus, header
from station.runtime.ids import new_id
from station.runtime.parts import room

LONGEST_SECONDS = 3600.0
"""How long an answer is waited for when the step has no time-out of its own."""
SILENCE_SECONDS = 30.0
"""After a first ``working``: so long without another, and the program is taken for dead."""
_SHOWN = 200


class NatsBackend:
    """Asks programs on the bus. Without a bus agents load, and running one fails."""

    prefixes: tuple[str, ...] = ("nats",)
    repeatable = False

    def __init__(
        self, bus: Bus | None = None, *, longest: float = LONGEST_SECONDS, silence: float = SILENCE_SECONDS
    ) -> None:
        self._bus = bus
        self._longest = longest
        self._silence = silence

    def configure(self, front_matter: Mapping[str, Any], folder: Path) -> str:
        """Read the subject out of ``model: nats/<subject>``."""
        subject = str(front_matter.get("model", "")).partition("/")[2]
        first, *rest = subject.split(".")
        example = "such as `model: nats/agent.weather`"
        if first != "agent" or not rest or not all(map(subjects.is_token, rest)):
            raise Misconfigured(
                f"model nats needs a subject below `agent.`, of letters, digits, `-` and `_` between dots, {example};"
                f" {subject!r} is none, and the broker lets the runner ask nowhere else"
            )
        if rest[-1] == subjects.CANCEL:
            raise Misconfigured(
                f"the subject {subject!r} ends in `.{subjects.CANCEL}`, where programs are told to stop; take another"
            )
        return subject

    def clean_up(self) -> None:
        """Programs elsewhere are not ours to end; they are asked again with the same idempotency key."""

    async def run(self, call: AgentCall) -> Answer:
        """Ask, and wait for the answer."""
        if self._bus is None:
            raise agent_error(
                f"agent {call.agent.name!r} is a program on NATS, and nothing here is connected to it;"
                " set STATION_NATS_URL to the broker's address, with the user and password of agent-runner",
                retryable=False,
            )
        subject: str = call.agent.options
        body = msgspec.json.encode(await program_input(call))
        limit = room(self._bus.nc.max_payload)
        if len(body) > limit:
            raise too_large(f"the request to {subject} has {len(body)} bytes, which", limit=limit)
        async with _replies(self._bus) as (reply_to, replies):
            try:
                await self._bus.nc.publish(subject, body, reply_to, _headers(call))
            except nats_errors.Error as error:
                raise agent_error(f"{subject}: the request could not be sent ({error})") from error
            try:
                message = await self._await_answer(subject, replies, call)
            except BaseException:
                await _tell_to_stop(self._bus, subject, call.idempotency_key)
                raise
        return _answer(subject, message, call)

    async def _await_answer(self, subject: str, replies: "asyncio.Queue[Msg]", call: AgentCall) -> Msg:
        """The first reply that is no sign of life. Raises AttemptFailed when there will be none."""
        # A step with a time-out of its own ends by that.
        seconds, works = self._longest if call.timeout_seconds is None else None, False
        clock = asyncio.timeout(seconds)
        try:
            async with clock:
                while True:
                    message = await asyncio.wait_for(replies.get(), seconds)
                    if header(message.headers, AGENT_STATUS) is None:
                        return message
                    seconds, works = self._silence, True
                    if message.data:
                        text = message.data.decode(errors="replace")
                        call.progress.say("text", agent=call.agent.name, text=text)
        except TimeoutError as error:
            if clock.expired() or not works:
                message = (
                    f"the program on {subject} did not answer within {self._longest:g} s, the most for a step without"
                    " `timeoutSeconds`"
                )
                raise AttemptFailed(StepError(type=ErrorType.TIMEOUT, message=message)) from error
            raise agent_error(
                f"the program on {subject} was working, and has said nothing for {self._silence:g} s: it is lost"
            ) from error


@contextlib.asynccontextmanager
async def _replies(bus: Bus) -> AsyncGenerator[tuple[str, "asyncio.Queue[Msg]"]]:
    """A subject of this attempt's own, and what comes there."""
    queue: asyncio.Queue[Msg] = asyncio.Queue()
    subject = subjects.REMOTE_REPLY + new_id("reply")
    subscription = await bus.nc.subscribe(subject, cb=queue.put)  # pyright: ignore[reportUnknownMemberType]
    try:
        yield subject, queue
    finally:
        with contextlib.suppress(nats_errors.Error):
            await subscription.unsubscribe()


def _headers(call: AgentCall) -> dict[str, str]:
    headers = {IDEMPOTENCY_KEY: call.idempotency_key}
    return headers if call.traceparent is None else {**headers, TRACEPARENT: call.traceparent}


async def _tell_to_stop(bus: Bus, subject: str, key: str) -> None:
    with contextlib.suppress(nats_errors.Error):
        await bus.nc.publish(f"{subject}.{subjects.CANCEL}", msgspec.json.encode({"idempotencyKey": key}))


def _answer(subject: str, message: Msg, call: AgentCall) -> Answer:
    if header(message.headers, "status") == "503":
        raise agent_error(f"no program answers on {subject}; start the one that serves agent {call.agent.name!r}")
    failed = header(message.headers, AGENT_ERROR)
    if failed is not None:
        raise _failure(subject, failed, message.data)
    if len(message.data) > call.max_output_bytes:
        raise too_large(f"the answer of the program on {subject}", limit=call.max_output_bytes)
    try:
        return Answer(value=msgspec.json.decode(message.data))
    except (msgspec.DecodeError, RecursionError) as error:
        shown = message.data[:_SHOWN].decode(errors="replace")
        raise agent_error(f"the program on {subject} did not answer JSON ({error}): {shown!r}") from error


def _failure(subject: str, kind: str, body: bytes) -> AttemptFailed:
    """As the program reports it; a type that does not exist is an ``agent_error`` like any other."""
    known = kind in {one.value for one in ErrorType}
    error_type = ErrorType(kind) if known else ErrorType.AGENT_ERROR
    text = body.decode(errors="replace").strip() or "it gave no reason"
    message = f"the program on {subject} failed: {text}" + ("" if known else f" (it calls this {kind!r})")
    return AttemptFailed(StepError(type=error_type, message=message, retryable=error_type not in FINAL))
