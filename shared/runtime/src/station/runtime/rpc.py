"""Serving requests on the bus. Each one runs in a task of its own; what a handler refuses becomes a Failure.

Services show up in NATS micro discovery (``nats micro ls``), with the figures of each endpoint.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from time import perf_counter_ns
from typing import Any

import msgspec
from nats import errors as nats_errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.micro.service import EndpointInfo, EndpointStats, Service, ServiceConfig, ServiceInfo, ServiceStats

from station.contracts import subjects
from station.contracts.errors import Failure
from station.contracts.headers import CONTENT_TYPE, CONTRACT_VERSION, ERROR_CODE, ERROR_TEXT, TRACEPARENT, VERSION
from station.contracts.health import ServiceStarted
from station.contracts.problems import Problem
from station.runtime import codec, metrics, parts
from station.runtime.bus import Bus, header
from station.runtime.errors import Refused, Undecodable
from station.runtime.logging import get_logger

__all__ = ["Endpoint", "Refused", "RpcContext", "Served", "refuse", "serve"]

log = get_logger("rpc")
SERVED = metrics.histogram("rpc_seconds", "Time to answer one request.", ["subject", "status"])

MAX_IN_FLIGHT = 1024
_STOP_SECONDS = 2.0


class RpcContext(msgspec.Struct, frozen=True, gc=False):
    """What came with a request besides its body."""

    headers: dict[str, str]
    traceparent: str | None
    content_type: str
    """A handler that answers with bytes must have encoded them so."""


Handler = Callable[[Any, RpcContext], Awaitable[object]]


class Endpoint(msgspec.Struct, frozen=True):
    """One subject and who answers it. The handler gives back a struct, or bytes that are encoded already."""

    subject: str
    request_type: type[Any]
    handler: Handler


def refuse(status: int, code: str, detail: str, /, errors: Iterable[Problem] = (), **context: Any) -> Refused:
    """Build the exception with which a handler says no; ``context`` becomes that of the Failure."""
    return Refused(Failure(code=code, detail=detail, status=status, errors=tuple(errors), context=context))


class Served:
    """A service that answers, until `stop`."""

    def __init__(
        self, bus: Bus, service: "_Service", served: Sequence["_Served"], tasks: set[asyncio.Task[None]]
    ) -> None:
        self._bus = bus
        self._service = service
        self._served = served
        self._tasks = tasks

    async def stop(self) -> None:
        """Take no more requests, let those that run finish for 2 s, then cancel them."""
        with contextlib.suppress(nats_errors.Error, TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.gather(self._service.stop(), *(one.stop() for one in self._served))
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_STOP_SECONDS)
            for task in late:
                task.cancel()


async def serve(
    bus: Bus,
    *,
    name: str,
    version: str,
    description: str,
    endpoints: Sequence[Endpoint],
    max_in_flight: int = MAX_IN_FLIGHT,
) -> Served:
    """Answer requests on every endpoint's subject; several processes of one name share them.

    At most ``max_in_flight`` run at a time; more wait in the client's queue.
    """
    tasks: set[asyncio.Task[None]] = set()
    slots = asyncio.Semaphore(max_in_flight)
    served = [_Served(bus, endpoint, tasks, slots) for endpoint in endpoints]
    config = ServiceConfig(name=name, version=version, description=description, queue_group=name)
    service = _Service(bus, config, served)
    await _follow_starts(bus)
    if endpoints:
        # Before anything can be asked of us: whoever hears it must not give up on a request that we have got.
        started = ServiceStarted(service=name, subjects=tuple(endpoint.subject for endpoint in endpoints))
        await bus.publish(subjects.control_started(name), started)
    for one in served:
        await one.start(queue=name)
    await service.start()
    await bus.flush()
    return Served(bus, service, served, tasks)


async def _follow_starts(bus: Bus) -> None:
    async def started(message: Msg) -> None:
        with contextlib.suppress(Undecodable):
            bus.answers_lost(frozenset(codec.read(message.headers, message.data, ServiceStarted).subjects))

    await bus.nc.subscribe(subjects.STARTED_FILTER, cb=started)  # pyright: ignore[reportUnknownMemberType]


class _Served:
    """One endpoint at work, and its figures."""

    def __init__(self, bus: Bus, endpoint: Endpoint, tasks: set[asyncio.Task[None]], slots: asyncio.Semaphore) -> None:
        self.endpoint = endpoint
        self.requests = 0
        self.errors = 0
        self.nanoseconds = 0
        self._bus = bus
        self._tasks = tasks
        self._slots = slots
        self._subscription: Subscription | None = None
        self._succeeded = SERVED.labels(subject=endpoint.subject, status="200")

    async def start(self, queue: str) -> None:
        self._subscription = await self._bus.nc.subscribe(  # pyright: ignore[reportUnknownMemberType]
            self.endpoint.subject, queue, cb=self._accept
        )

    async def stop(self) -> None:
        """Requests that the broker has already handed over are still answered."""
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            await subscription.drain()

    async def _accept(self, message: Msg) -> None:
        """The client calls this one message after the other, so it only starts the task."""
        await self._slots.acquire()
        self.requests += 1
        task = asyncio.create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._slots.release()
        self._tasks.discard(task)

    async def _answer(self, message: Msg) -> None:
        started = perf_counter_ns()
        content_type = codec.content_type_of(message.headers, message.data)
        headers = {CONTENT_TYPE: content_type, CONTRACT_VERSION: VERSION}
        try:
            body = await self._handle(message, content_type)
        except Exception as error:  # noqa: BLE001 - every request gets an answer
            failure = self._failure_of(error)
            # Whoever sent an unknown content type can at least read JSON.
            headers[CONTENT_TYPE] = content_type if content_type == codec.MSGPACK else codec.JSON
            headers[ERROR_CODE] = str(failure.status)
            headers[ERROR_TEXT] = failure.code
            body = codec.encode(failure, headers[CONTENT_TYPE])
        taken = perf_counter_ns() - started
        self.nanoseconds += taken
        status = headers.get(ERROR_CODE)
        (SERVED.labels(self.endpoint.subject, status) if status else self._succeeded).observe(taken / 1e9)
        await self._respond(message, body, headers)

    async def _handle(self, message: Msg, content_type: str) -> bytes:
        found = message.headers or {}
        request = codec.read(found, message.data or b"{}", self.endpoint.request_type)
        context = RpcContext(found, header(found, TRACEPARENT), content_type)
        answer = await self.endpoint.handler(request, context)
        return answer if isinstance(answer, bytes) else codec.encode(answer, content_type)

    def _failure_of(self, error: Exception) -> Failure:
        self.errors += 1
        if isinstance(error, Refused):
            return error.failure
        if isinstance(error, Undecodable):
            detail = f"The request on {self.endpoint.subject} is not what is expected there: {error}"
            return Failure(code="request_invalid", detail=detail, status=400, errors=(error.problem,))
        log.error("request_crashed", subject=self.endpoint.subject, exc_info=error)
        return Failure(code="internal", detail="The service failed to answer; its log says why.", status=500)

    async def _respond(self, message: Msg, body: bytes, headers: dict[str, str]) -> None:
        if not message.reply:
            return
        room = parts.room(self._bus.nc.max_payload)
        answers = [(body, headers)]
        if len(body) > room:
            cut = parts.split(body, room) if parts.taken(message.headers) else []
            answers = [(part, {**headers, **place}) for part, place in cut] or [_too_large(len(body), headers)]
        try:
            for part, marks in answers:
                await self._bus.nc.publish(message.reply, part, headers=marks)
        except nats_errors.Error as error:
            log.warning("answer_lost", subject=self.endpoint.subject, error=str(error))


def _too_large(size: int, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    detail = f"The answer has {size} bytes, more than one message carries. Ask for a smaller page."
    failure = Failure(code="answer_too_large", detail=detail, status=500)
    marks = {ERROR_CODE: str(failure.status), ERROR_TEXT: failure.code}
    return codec.encode(failure, headers[CONTENT_TYPE]), {**headers, **marks}


class _Service(Service):
    """Discovery as NATS micro defines it; the requests themselves are taken and counted by `_Served`."""

    def __init__(self, bus: Bus, config: ServiceConfig, served: Sequence[_Served]) -> None:
        super().__init__(bus.nc, config)
        self._queue = config.name
        self._served = served

    def stats(self) -> ServiceStats:
        stats = super().stats()
        stats.endpoints = [self._figures(one) for one in self._served]
        return stats

    def info(self) -> ServiceInfo:
        info = super().info()
        info.endpoints = [EndpointInfo(_name(one), one.endpoint.subject, self._queue) for one in self._served]
        return info

    def _figures(self, one: _Served) -> EndpointStats:
        return EndpointStats(
            name=_name(one),
            subject=one.endpoint.subject,
            queue_group=self._queue,
            num_requests=one.requests,
            num_errors=one.errors,
            processing_time=one.nanoseconds,
            average_processing_time=one.nanoseconds // max(one.requests, 1),
        )


def _name(one: _Served) -> str:
    return one.endpoint.subject.replace(".", "-")
