"""Whether a child does its work: the broker greets, a service answers /readyz with 200."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from station.contracts.health import Health

PROBE_SECONDS = 2.0
_FAILURES = (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError)


class RunFile(msgspec.Struct, rename="camel"):
    """``<data_dir>/run/<service>.json``: what a service says of itself while it runs."""

    pid: int
    url: str
    started_at: str = ""


def read_run_file(data_dir: Path, service: str) -> RunFile | None:
    """None when the service has not said anything, or is in the middle of it."""
    try:
        return msgspec.json.decode((data_dir / "run" / f"{service}.json").read_bytes(), type=RunFile)
    except (OSError, msgspec.MsgspecError):
        return None


async def service_is_ready(data_dir: Path, service: str, pid: int) -> bool:
    """Whether this very process has told its address and answers there that it is ready."""
    found = read_run_file(data_dir, service)
    return found is not None and found.pid == pid and await answers_ok(f"{found.url}/readyz")


async def answers_ok(url: str) -> bool:
    """Whether a GET is answered with 200."""
    return await status_of(url) == "200"


async def status_of(url: str) -> str | None:
    """The HTTP status of a GET; None when there is no answer."""
    try:
        return (await _get(url)).decode("latin-1").split(" ", 2)[1]
    except (*_FAILURES, IndexError):
        return None


async def health_of(url: str) -> Health | None:
    """What a service's /readyz says, ready or not; None when there is no answer."""
    try:
        return msgspec.json.decode((await _get(url)).partition(b"\r\n\r\n")[2], type=Health)
    except (*_FAILURES, msgspec.MsgspecError):
        return None


async def _get(url: str) -> bytes:
    """The whole answer to a GET. Raises one of `_FAILURES`."""
    parts = urlsplit(url)
    async with asyncio.timeout(PROBE_SECONDS):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
        try:
            writer.write(f"GET {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\nconnection: close\r\n\r\n".encode())
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()


async def broker_greets(port: int) -> bool:
    """Whether a NATS server says hello; before JetStream is up it does not listen."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                return (await reader.readexactly(5)) == b"INFO "
            finally:
                writer.close()
    except _FAILURES:
        return False
