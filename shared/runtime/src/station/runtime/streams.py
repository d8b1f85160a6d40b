"""The two streams, their consumers, and fetching from them. Only the scheduler has the right to create anything."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from nats import errors as nats_errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api
from nats.js import errors as js_errors

from station.contracts import subjects
from station.runtime import metrics
from station.runtime.bus import Bus
from station.runtime.logging import get_logger
from station.runtime.pulls import Pull

__all__ = ["EVENTS", "TASKS", "Fetcher", "ensure_consumer", "ensure_streams"]

log = get_logger("streams")
FETCH_FAILURES = metrics.counter(
    "fetch_failures_total", "Fetches that failed for another reason than silence.", ["consumer"]
)

_PAUSE_SECONDS = 0.1
_CONFIG_DIFFERS = 10058
_DAY = 24 * 3600
_GIB = 1024**3

TASKS = api.StreamConfig(
    name=subjects.TASKS_STREAM,
    description="Work handed out; a message is gone once it is acknowledged. SQLite can make every one anew.",
    subjects=list(subjects.TASKS_SUBJECTS),
    retention=api.RetentionPolicy.WORK_QUEUE,
    storage=api.StorageType.FILE,
    # One message per subject: publishing a task that is still there is refused (10077), which counts as success.
    max_msgs_per_subject=1,
    discard=api.DiscardPolicy.NEW,
    discard_new_per_subject=True,
    # The shortest there is: a task that is handed out anew must not be taken for the one that was purged.
    duplicate_window=0.1,
)
EVENTS = api.StreamConfig(
    name=subjects.EVENTS_STREAM,
    description="What happened in runs, for other systems. The record is in SQLite.",
    subjects=list(subjects.EVENTS_SUBJECTS),
    retention=api.RetentionPolicy.LIMITS,
    storage=api.StorageType.FILE,
    max_age=7 * _DAY,
    max_bytes=2 * _GIB,
    discard=api.DiscardPolicy.OLD,
    duplicate_window=120,
)


async def ensure_streams(bus: Bus) -> bool:
    """Create or update both streams. True when one was missing: whatever had been published to it is lost."""
    created = [await _ensure_stream(bus.js, config) for config in (TASKS, EVENTS)]
    return any(created)


async def ensure_consumer(bus: Bus, stream: str, durable: str, filter_subject: str, ack_wait: float = 30) -> None:
    """Create or update a durable pull consumer; redelivery has no limit, because the scheduler counts attempts."""
    config = api.ConsumerConfig(
        durable_name=durable,
        filter_subject=filter_subject,
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=ack_wait,
        max_deliver=-1,
        # The claims bound what runners hold; a smaller limit here would only stop tasks that could run.
        max_ack_pending=65_536,
        max_waiting=512,
    )
    await bus.js.add_consumer(stream, config)  # pyright: ignore[reportUnknownMemberType]


async def reset_consumer(bus: Bus, stream: str, durable: str, filter_subject: str, ack_wait: float = 30) -> bool:
    """Make a consumer anew if messages are out unacknowledged: a receiver that is gone holds them until ``ack_wait``.

    They are delivered again at once, also those that other receivers work on: receiving must be idempotent.
    """
    try:
        found = await bus.js.consumer_info(stream, durable)
        if not found.num_ack_pending:
            return False
        await bus.js.delete_consumer(stream, durable)
    except js_errors.NotFoundError:
        pass
    await ensure_consumer(bus, stream, durable, filter_subject, ack_wait)
    return True


async def _ensure_stream(js: JetStreamContext, config: api.StreamConfig) -> bool:
    try:
        found = await js.stream_info(str(config.name))
    except js_errors.NotFoundError:
        await js.add_stream(config)  # pyright: ignore[reportUnknownMemberType]
        log.info("stream_created", stream=config.name)
        return True
    if _differs(found.config, config):
        await js.update_stream(config)  # pyright: ignore[reportUnknownMemberType]
        log.info("stream_updated", stream=config.name)
    return False


def _differs(found: api.StreamConfig, wanted: api.StreamConfig) -> bool:
    """Whether a setting that we give is not as we want it; what we leave open is the broker's to fill in."""
    given = {name: value for name, value in wanted.as_dict().items() if value is not None}
    held = found.as_dict()
    return any(held.get(name) != value for name, value in given.items())


class Fetcher:
    """Takes messages of one durable consumer, in batches, through failures of every kind.

    ``ensure`` is called when the consumer may be gone; without it (no right to create) the fetcher waits until
    the scheduler has made it anew.
    """

    def __init__(
        self, bus: Bus, stream: str, durable: str, ensure: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        self._durable = durable
        self._ensure = ensure
        self._pull = Pull(bus, stream, durable)
        self._failures = FETCH_FAILURES.labels(consumer=durable)
        self._failing = False
        # What lies in the client's queue is taken by nobody any more, and would keep `Bus.close` waiting for it.
        bus.before_close(self._pull.close)

    async def fetch(self, batch: int, timeout: float = 5.0) -> list[Msg]:
        """Up to ``batch`` messages, as soon as there are any; empty after ``timeout`` seconds, or when it failed."""
        try:
            messages = await self._pull.fetch(batch, timeout)
        except TimeoutError:
            return []
        except nats_errors.Error as error:
            await self._recover(error)
            return []
        if self._failing:
            self._failing = False
            log.info("fetch_works_again", consumer=self._durable)
        return messages

    async def batches(self, *, max: int = 64, timeout: float = 1.0) -> AsyncIterator[list[Msg]]:
        """Every batch that comes, for ever; empty ones are left out."""
        while True:
            messages = await self.fetch(max, timeout)
            if messages:
                yield messages

    async def _recover(self, error: Exception) -> None:
        self._failures.inc()
        if not self._failing:
            self._failing = True
            log.warning("fetch_failed", consumer=self._durable, error=str(error), error_type=type(error).__name__)
        await asyncio.sleep(_PAUSE_SECONDS)
        if self._ensure is None:
            return
        try:
            await self._ensure()
        except nats_errors.Error as failure:
            log.warning("consumer_not_ensured", consumer=self._durable, error=str(failure))
