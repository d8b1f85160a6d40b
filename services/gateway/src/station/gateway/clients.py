"""The gateway's way to the other services: JSON requests whose answers are passed on as they came.

What is safe to repeat (a query; a command with an idempotency key) is repeated until its deadline, so that a service
that restarts costs a caller time and not an error.
"""

import asyncio
from time import monotonic

import msgspec

from station.contracts.headers import JSON, TRACEPARENT
from station.contracts.health import GetHealth, Health
from station.contracts.subjects import QUERY_HEALTH
from station.gateway.link import Link
from station.gateway.metrics import RPC_FAILURES
from station.runtime.errors import StationError, Unavailable
from station.runtime.failpoints import hit

_ATTEMPT_SECONDS = 2.5
_PAUSE_SECONDS = 0.1
_HEALTH_SECONDS = 1.0


class StillUnavailable(StationError):
    """No answer until the deadline. ``key`` is the idempotency key that was used, for the next try."""

    def __init__(self, detail: str, *, key: str | None = None, repeatable: bool = True) -> None:
        self.detail = detail
        self.key = key
        self.repeatable = repeatable
        super().__init__(detail)


class RpcClient:
    """Asks the other services. Its methods give an answer's JSON, and raise Refused or StillUnavailable."""

    def __init__(self, link: Link, *, command_seconds: float) -> None:
        self._link = link
        self._command_seconds = command_seconds
        self._query_seconds = command_seconds / 2

    @property
    def connected(self) -> bool:
        return self._link.connected

    async def query(self, subject: str, message: msgspec.Struct) -> bytes:
        """Ask for what stands now."""
        return await self._repeat(subject, message, self._query_seconds)

    async def command(
        self, subject: str, message: msgspec.Struct, *, key: str | None = None, traceparent: str | None = None
    ) -> bytes:
        """Have something changed that may be sent twice: it carries ``key``, or its repetition changes nothing."""
        headers = {TRACEPARENT: traceparent} if traceparent else None
        hit("gateway.before-request")
        answer = await self._repeat(subject, message, self._command_seconds, key=key, headers=headers)
        hit("gateway.before-answer")
        return answer

    async def once(self, subject: str, message: msgspec.Struct) -> bytes:
        """Have something changed that must not be sent twice: wait until the scheduler answers at all, then send."""
        deadline = monotonic() + self._command_seconds
        await self._repeat(QUERY_HEALTH, GetHealth(), self._command_seconds)
        try:
            return await self._ask(subject, message, max(deadline - monotonic(), _ATTEMPT_SECONDS))
        except Unavailable as error:
            raise StillUnavailable(error.detail, repeatable=False) from error

    async def health(self, subject: str) -> Health | str:
        """What a service says of itself, or why it says nothing. One short attempt."""
        try:
            return msgspec.json.decode(await self._ask(subject, GetHealth(), _HEALTH_SECONDS), type=Health)
        except Unavailable as error:
            return error.detail

    async def _repeat(
        self,
        subject: str,
        message: msgspec.Struct,
        seconds: float,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        deadline = monotonic() + seconds
        while True:
            left = deadline - monotonic()
            try:
                return await self._ask(subject, message, min(_ATTEMPT_SECONDS, max(left, _PAUSE_SECONDS)), headers)
            except Unavailable as error:
                if deadline - monotonic() <= _PAUSE_SECONDS:
                    raise StillUnavailable(error.detail, key=key) from error
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _ask(
        self, subject: str, message: msgspec.Struct, timeout: float, headers: dict[str, str] | None = None
    ) -> bytes:
        try:
            bus = self._link.bus
            return await bus.request(subject, message, bytes, timeout=timeout, headers=headers, content_type=JSON)
        except Unavailable:
            RPC_FAILURES.labels(subject=subject).inc()
            raise
