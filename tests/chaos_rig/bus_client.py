"""Another system on the bus: it publishes starts, signals and decisions until it sees that they were taken."""

import asyncio
import contextlib
from typing import Any, Self

import msgspec
import nats
from nats import errors as nats_errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js import errors as js_errors

from station.contracts import subjects
from station.runtime.bus import connection_options

SECONDS = 2.0
PAUSE_SECONDS = 0.3
ERROR_CODE = "Nats-Service-Error-Code"


class BusClient:
    """A plain NATS client with the rights of other systems."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._js = JetStreamContext(nc, timeout=SECONDS)

    @classmethod
    async def connect(cls, url: str) -> Self:
        async def quiet(_: Exception) -> None:
            """A broker that is killed again and again is what this is about."""

        return cls(await nats.connect(url, error_cb=quiet, **connection_options("chaos", "_INBOX")))

    async def close(self) -> None:
        with contextlib.suppress(nats_errors.Error, OSError, TimeoutError):
            await asyncio.wait_for(self._nc.close(), SECONDS)

    async def publish(self, subject: str, message: Any) -> None:
        """Give it to the stream, once; it may be lost with the stream all the same."""
        with contextlib.suppress(nats_errors.Error, js_errors.Error, TimeoutError):
            await self._js.publish(subject, msgspec.json.encode(message))

    async def start_run(self, message: Any) -> Any:
        """Ask the scheduler until it answers: the run's view, or the refusal."""
        body = msgspec.json.encode(message)
        while True:
            try:
                answer = await self._nc.request(subjects.RUN_START, body, timeout=SECONDS)
            except (nats_errors.Error, TimeoutError):
                answer = None
            if answer is not None:
                code = (answer.headers or {}).get(ERROR_CODE)
                if code is None or code not in {"500", "503"}:
                    return msgspec.json.decode(answer.data)
            await asyncio.sleep(PAUSE_SECONDS)
