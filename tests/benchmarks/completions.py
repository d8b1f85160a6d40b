"""Hears on the bus when runs end, as any other system would: with the rights of the `external` user."""

import asyncio
from time import perf_counter
from typing import Self

import nats
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg

from tests.benchmarks.errors import BenchError

END_SECONDS = 180.0
RUN_EVENTS, STEP_EVENTS = "wf.event.run.*", "wf.event.step.>"
_COMPLETED = b'"type":"run_completed"'
_OTHER_ENDS = (b'"type":"run_failed"', b'"type":"run_cancelled"', b'"type":"run_timed_out"')
_STEP_SUCCEEDED = b'"type":"step_succeeded"'


class Completions:
    """Every end of a run since `listen`."""

    def __init__(self, connection: NatsClient) -> None:
        self.steps_succeeded = 0
        """Counted only after `count_steps`."""
        self._connection = connection
        self._ends: dict[str, asyncio.Future[float]] = {}

    @classmethod
    async def listen(cls, url: str) -> Self:
        """``url`` holds the user and the password."""
        heard = cls(await nats.connect(url, allow_reconnect=False, error_cb=_ignore))
        await heard._connection.subscribe(RUN_EVENTS, cb=heard._run_event)
        await heard._connection.flush()
        return heard

    async def count_steps(self) -> None:
        """Count succeeded steps from now on."""
        await self._connection.subscribe(STEP_EVENTS, cb=self._step_event)
        await self._connection.flush()

    def end(self, run_id: str) -> asyncio.Future[float]:
        """The moment (`perf_counter`) at which the run's completion was heard; BenchError when it ended otherwise."""
        if (found := self._ends.get(run_id)) is None:
            found = self._ends[run_id] = asyncio.get_running_loop().create_future()
        return found

    async def close(self) -> None:
        """Also when the broker is gone already."""
        await self._connection.close()

    async def _run_event(self, message: Msg) -> None:
        completed = _COMPLETED in message.data
        if not completed and not any(end in message.data for end in _OTHER_ENDS):
            return
        run_id = message.subject.rpartition(".")[2]
        end = self.end(run_id)
        if end.done():
            return
        if completed:
            end.set_result(perf_counter())
        else:
            end.set_exception(BenchError(f"run {run_id} did not complete: {message.data.decode()[:2000]}"))

    async def _step_event(self, message: Msg) -> None:
        if _STEP_SUCCEEDED in message.data:
            self.steps_succeeded += 1


async def _ignore(_error: Exception) -> None:
    """A broker that is killed on purpose is no news; a run whose end is not heard ends the benchmark by itself."""
