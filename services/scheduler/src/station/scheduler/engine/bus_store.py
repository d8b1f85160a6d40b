"""Whether the broker stores what it is sent. One whose disk was full acknowledges nothing until it is started again.

It says why only when it is asked to change a stream, so it is asked to purge what is not there.
"""

from __future__ import annotations

import asyncio

from nats import errors as nats_errors
from nats.js import errors as js_errors

from station.contracts import subjects
from station.runtime import metrics
from station.runtime.bus import Bus
from station.runtime.logging import get_logger

log = get_logger("bus_store")

REFUSING = metrics.gauge("bus_store_refusing", "Streams in which the broker stores nothing of what it is sent.")
_NOTHING = {subjects.TASKS_STREAM: "wf.task.step.-.-.0", subjects.EVENTS_STREAM: "wf.event.run.-"}
"""Of each stream a subject that no message has."""
_TODO = "Free space where it keeps its files, then start it again: all that it is to be sent is kept meanwhile."


class BusStore:
    """What is known of the broker's own disk."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._asking: asyncio.Task[None] | None = None
        self.troubles: dict[str, str] = {}
        """By stream, why it stores nothing there."""
        REFUSING.set_function(lambda: len(self.troubles))

    @property
    def trouble(self) -> str | None:
        """What is wrong, and what to do about it; None when nothing is."""
        for stream, why in self.troubles.items():
            return f"The broker stores nothing in {stream}: {why}. {_TODO}"
        return None

    def ask(self) -> None:
        """It has not acknowledged in time, or does so again: ask it how it is, unless that is under way."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        try:
            for stream, subject in _NOTHING.items():
                try:
                    await self._bus.js.purge_stream(stream, subject=subject)
                except js_errors.ServerError as error:
                    self._refused(stream, str(error.description))
                else:
                    self._accepted(stream)
        except (nats_errors.Error, TimeoutError) as error:
            log.debug("broker_not_asked", error=str(error))  # it is away, or the stream is: others tell of that
        finally:
            self._asking = None

    def _refused(self, stream: str, why: str) -> None:
        if stream not in self.troubles:
            log.error("broker_stores_nothing", stream=stream, error=why, todo=_TODO)
        self.troubles[stream] = why

    def _accepted(self, stream: str) -> None:
        if self.troubles.pop(stream, None) is not None:
            log.info("broker_stores_again", stream=stream)
