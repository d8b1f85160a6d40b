"""/healthz, /readyz and /metrics of a process that has no other HTTP, and the file that says where they are."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Self

import msgspec

from station.contracts.health import Health
from station.runtime import clock, metrics
from station.runtime.logging import get_logger

__all__ = ["Probes", "announce", "withdraw"]

log = get_logger("health")
_REQUEST_SECONDS = 5.0
_READY_SECONDS = 2.0
_LONGEST_LINE = 8192
_JSON = "application/json"

Ready = Callable[[], Awaitable[Health]]
Answer = tuple[HTTPStatus, str, bytes]


class Probes:
    """The small HTTP server of one service. ``ready`` answers /readyz: 200 or, if it is not ready, 503 with the reason.

    ``port`` 0 takes any free one; `url` says which.
    """

    def __init__(self, *, service: str, host: str, port: int, data_dir: Path, ready: Ready) -> None:
        self._service = service
        self._host = host
        self._port = port
        self._data_dir = data_dir
        self._ready = ready
        self._server: asyncio.Server | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, and write ``<data_dir>/run/<service>.json``. Raises OSError when the port is taken."""
        self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=_LONGEST_LINE)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        announce(self._data_dir, self._service, self.url)
        log.info("probes_listening", url=self.url)

    async def stop(self) -> None:
        """Stop listening and remove the file. Safe to call twice."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        withdraw(self._data_dir, self._service)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request per connection: probes and scrapes are seconds apart."""
        with contextlib.suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_REQUEST_SECONDS):
                status, kind, body = await self._answer(await _path_of(reader))
                head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {kind}\r\n"
                writer.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
                await writer.drain()
        writer.close()

    async def _answer(self, path: str | None) -> Answer:
        match path:
            case "/healthz":
                return HTTPStatus.OK, _JSON, msgspec.json.encode(Health(service=self._service, ready=True))
            case "/readyz":
                health = await self._readiness()
                status = HTTPStatus.OK if health.ready else HTTPStatus.SERVICE_UNAVAILABLE
                return status, _JSON, msgspec.json.encode(health)
            case "/metrics":
                return HTTPStatus.OK, metrics.CONTENT_TYPE, metrics.render()
            case None:
                return HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"Only GET.\n"
            case _:
                return HTTPStatus.NOT_FOUND, "text/plain", b"There are /healthz, /readyz and /metrics.\n"

    async def _readiness(self) -> Health:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                return await self._ready()
        except TimeoutError:
            return Health(service=self._service, ready=False, detail=f"no answer within {_READY_SECONDS:g} s")
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the process is not ready
            return Health(service=self._service, ready=False, detail=str(error))


def announce(data_dir: Path, service: str, url: str) -> Path:
    """Write ``<data_dir>/run/<service>.json``: ``{pid, url, startedAt}``. Returns its path."""
    path = _file(data_dir, service)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = {"pid": os.getpid(), "url": url, "startedAt": clock.to_rfc3339(clock.now_ms())}
    draft = path.with_suffix(".tmp")
    draft.write_bytes(msgspec.json.encode(facts))
    draft.replace(path)
    return path


def withdraw(data_dir: Path, service: str) -> None:
    """Remove what `announce` wrote, unless a newer process of the same service has written its own."""
    path = _file(data_dir, service)
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        if msgspec.json.decode(path.read_bytes()).get("pid") == os.getpid():
            path.unlink()


def _file(data_dir: Path, service: str) -> Path:
    return data_dir / "run" / f"{service}.json"


async def _path_of(reader: asyncio.StreamReader) -> str | None:
    """The path asked for, without its query; None for another method than GET or HEAD."""
    method, _, rest = (await reader.readuntil(b"\r\n")).decode("latin-1").partition(" ")
    while (await reader.readuntil(b"\r\n")) != b"\r\n":
        pass
    return rest.split(" ", 1)[0].partition("?")[0] if method in {"GET", "HEAD"} else None
