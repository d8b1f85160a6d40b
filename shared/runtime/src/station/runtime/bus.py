"""The connection to NATS: requests, publishing, JetStream. It reconnects for ever and never hides that it had to."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from time import monotonic
from typing import Any, Self, TypeVar

from nats import errors as nats_errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from station.contracts.errors import Failure
from station.contracts.headers import CONTENT_TYPE, CONTRACT_VERSION, ERROR_CODE, ERROR_TEXT, MSGPACK, VERSION
from station.runtime import codec, lifecycle, metrics
from station.runtime.client import PatientClient
from station.runtime.errors import Refused, Unavailable, Undecodable
from station.runtime.logging import get_logger
from station.runtime.parts import TAKES_PARTS, room
from station.runtime.replies import Replies
from station.runtime.settings import masked_url

__all__ = ["Bus", "Refused", "Unavailable", "connection_options", "header"]

T = TypeVar("T")
log = get_logger("bus")
ERRORS = metrics.counter("bus_errors_total", "Errors that the NATS client reported.", ["kind"])
RECONNECTS = metrics.counter("bus_reconnects_total", "Connections to NATS made after the first.")
CONNECTED = metrics.gauge("bus_connected", "1 while connected to NATS.")

_SECONDS_BETWEEN_NOTES = 3.0
_CLOSE_SECONDS = 2.0
_MARKED = {kind: {CONTENT_TYPE: kind, CONTRACT_VERSION: VERSION} for kind in (codec.MSGPACK, codec.JSON)}


class Bus:
    """One connection. Make it with `Bus.connect`; ``nc`` and ``js`` are the plain clients for what is not here."""

    def __init__(self, *, name: str, inbox_prefix: str) -> None:
        self.nc = PatientClient()
        self.js = JetStreamContext(self.nc, timeout=2)
        self._options = connection_options(name, inbox_prefix)
        self._replies = Replies(self.nc)
        self._disconnected: list[Callable[[], None]] = []
        self._reconnected: list[Callable[[], None]] = []
        self._before_close: list[Callable[[], Awaitable[None]]] = []
        self._closing = False
        self._url = ""
        self._noted = monotonic()

    @classmethod
    async def connect(cls, url: str, *, name: str, inbox_prefix: str = "_INBOX") -> Self:
        """Connect, however long it takes; every few seconds a log line says what is tried. Cancel it to give up.

        ``url`` may hold ``user:password@``. ``inbox_prefix`` is this service's own, as the broker's rights ask for.
        """
        bus = cls(name=name, inbox_prefix=inbox_prefix)
        await bus._open(url)
        return bus

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as the client knows."""
        return self.nc.is_connected

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        """Call it whenever the connection breaks: what was sent last may be lost, though later things go through."""
        self._disconnected.append(callback)

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call it after every reconnection: what was asked of the broker before is forgotten there."""
        self._reconnected.append(callback)

    async def request(
        self,
        subject: str,
        message: object,
        answer_type: type[T],
        *,
        timeout: float = 2.0,
        headers: Mapping[str, str] | None = None,
        content_type: str = MSGPACK,
    ) -> T:
        """Ask and wait for the answer, which comes in the same content type; ``bytes`` as type takes it undecoded.

        Raises:
            Refused: the other side says no, and why.
            Unavailable: no answer within ``timeout`` seconds; whether it was carried out is unknown.
            Undecodable: the answer is of another shape.
        """
        asked = {**_with(headers, content_type), **TAKES_PARTS}
        answer = await self.ask(subject, codec.encode(message, content_type), asked, timeout)
        found = answer.headers
        if found is not None and ERROR_CODE in found:
            raise Refused(_failure(found, answer.data))
        if answer_type is bytes:
            return answer.data  # pyright: ignore[reportReturnType] - T is bytes
        return codec.decode(answer.data, answer_type, content_type)

    async def ask(self, subject: str, body: bytes, headers: dict[str, str] | None, timeout: float) -> Msg:
        """Send bytes and wait for the message that answers. Raises Unavailable."""
        if len(body) > room(self.nc.max_payload):
            raise Refused(_too_large(len(body), self.nc.max_payload))
        try:
            answer = await self._replies.request(subject, body, headers, timeout)
        except nats_errors.Error as error:
            raise Unavailable(f"{subject}: not sent ({error}).") from error
        if answer.headers is not None and answer.headers.get("Status") == "503":
            raise Unavailable(f"{subject}: nobody answers there; is the service running?")
        return answer

    def answers_lost(self, subjects: Collection[str]) -> None:
        """Whoever answers there was started anew: requests under way raise Unavailable now, not at their timeout."""
        self._replies.started_anew(subjects)

    async def publish(self, subject: str, message: object, *, headers: Mapping[str, str] | None = None) -> None:
        """Tell whoever listens now: nothing is stored, and while disconnected it may be lost. Bytes go as they are.

        Raises:
            Unavailable: it could not even be buffered.
        """
        if isinstance(message, bytes):
            body, found = message, dict(headers) if headers else None
        else:
            body, found = codec.encode(message), _with(headers, MSGPACK)
        try:
            await self.nc.publish(subject, body, headers=found)
        except nats_errors.Error as error:
            raise Unavailable(f"{subject}: not sent ({error}).") from error

    async def flush(self) -> None:
        """Return when the broker has processed all that was sent before, such as subscriptions.

        Raises:
            Unavailable: it did not answer; what was sent is sent again with the next connection.
        """
        try:
            # Twice, because the client's ping overtakes what waits in its buffer; the second one cannot.
            await self.nc.flush()
            await self.nc.flush()
        except nats_errors.Error as error:
            raise Unavailable(f"The broker did not answer a ping ({error}).") from error

    async def close(self) -> None:
        """Let callbacks that run finish, for 2 s at most, then close. Safe to call twice."""
        self._closing = True
        with contextlib.suppress(nats_errors.Error, OSError, TimeoutError, RuntimeError):
            await asyncio.wait_for(self._drain(), _CLOSE_SECONDS)
        # Where the broker has just gone away, the client still writes to the closed transport: uvloop's RuntimeError.
        with contextlib.suppress(nats_errors.Error, OSError, TimeoutError, RuntimeError):
            await asyncio.wait_for(self.nc.close(), _CLOSE_SECONDS)
        CONNECTED.set(0)

    def before_close(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Await it when the bus is closed, before the connection is drained."""
        self._before_close.append(callback)

    async def _drain(self) -> None:
        for callback in self._before_close:
            await callback()
        await self.nc.drain()

    async def _open(self, url: str) -> None:
        self._url = masked_url(url)
        connecting = asyncio.ensure_future(
            self.nc.connect(
                url,
                error_cb=self._report,
                disconnected_cb=self._lost_connection,
                reconnected_cb=self._connected_again,
                closed_cb=self._closed,
                **self._options,
            )
        )
        try:
            # Not awaited itself: the client swallows a cancellation now and then, we must not.
            await asyncio.wait({connecting})
            connecting.result()
        except BaseException:
            self._closing = True  # given up, not refused by the broker
            connecting.cancel()
            await asyncio.wait({connecting})
            await self.nc.close()
            raise
        await self._replies.open()
        CONNECTED.set(1)

    async def _lost_connection(self) -> None:
        if not self._closing:
            log.warning("bus_disconnected")
            CONNECTED.set(0)
            self._noted = monotonic()
        self._replies.disconnected()
        for callback in self._disconnected:
            callback()

    async def _report(self, error: Exception) -> None:
        """Every error while connected; while the broker is away, one line every few seconds, not one an attempt."""
        ERRORS.labels(kind=type(error).__name__).inc()
        facts = {"error": str(error), "error_type": type(error).__name__}
        if self.connected:
            log.warning("bus_error", **facts)
        elif monotonic() - self._noted > _SECONDS_BETWEEN_NOTES:
            self._noted = monotonic()
            log.warning("bus_waiting", url=self._url, **facts)

    async def _connected_again(self) -> None:
        log.info("bus_reconnected")
        RECONNECTS.inc()
        CONNECTED.set(1)
        for callback in self._reconnected:
            callback()

    async def _closed(self) -> None:
        """The client gives up only when the broker refuses the user: then nothing here can work any more."""
        self._replies.disconnected()
        if not self._closing:
            lifecycle.fail(f"The broker closed the connection for good: {self.nc.last_error}.")


def connection_options(name: str, inbox_prefix: str) -> dict[str, Any]:
    """How every connection of ours is kept: for ever, with a short pause, and a dead broker noticed within 15 s."""
    return {
        "name": name,
        "inbox_prefix": inbox_prefix,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": random.uniform(0.1, 0.25),  # noqa: S311 - jitter, so that services do not come in step
        "connect_timeout": 2,
        "ping_interval": 5,
        "max_outstanding_pings": 2,
    }


def header(headers: Mapping[str, str] | None, name: str) -> str | None:
    """One header, however the sender spelled its case."""
    if not headers:
        return None
    found = headers.get(name)
    if found is None:
        found = next((value for key, value in headers.items() if key.lower() == name), None)
    return found


def _with(headers: Mapping[str, str] | None, content_type: str) -> dict[str, str]:
    marks = _MARKED[content_type]
    return {**marks, **headers} if headers else marks


def _failure(headers: Mapping[str, str], body: bytes) -> Failure:
    """The refusal as it was sent; one of a foreign service has no body and is made from its headers."""
    try:
        return codec.decode(body, Failure, codec.content_type_of(headers, body))
    except Undecodable:
        text = headers.get(ERROR_TEXT, "error")
        code = headers[ERROR_CODE]
        return Failure(code="internal", detail=text, status=int(code) if code.isdigit() else 500)


def _too_large(size: int, limit: int) -> Failure:
    detail = f"The message has {size} bytes, the broker takes {limit}. Send less, or a reference to the data."
    return Failure(code="payload_too_large", detail=detail, status=413)
