"""The life of the process: bind, serve while the bus connects, and on stop end the streams before the server."""

import asyncio

from station.gateway.app import build
from station.gateway.link import Link
from station.gateway.server import Server, bind, url_of
from station.gateway.settings import SERVICE, Settings, is_loopback
from station.runtime.errors import StationError
from station.runtime.health import announce, withdraw
from station.runtime.lifecycle import Stop, end
from station.runtime.logging import get_logger
from station.runtime.settings import effective

log = get_logger("gateway")


async def main(settings: Settings, stop: Stop) -> None:
    """Run until ``stop``. Raises StationError when the address cannot be listened on."""
    log.info("starting", settings=effective(settings))
    listening = bind(settings.http_host, settings.http_port)
    _warn(settings)
    link = Link()
    gateway = build(settings, link)
    server = Server(gateway.app)
    connecting = asyncio.create_task(link.open(settings))
    connecting.add_done_callback(lambda task: _connected(task, stop))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    serving.add_done_callback(lambda _task: stop.set())
    announce(settings.data_dir, SERVICE, url_of(listening))
    log.info("listening", url=url_of(listening))
    try:
        await stop.wait()
    finally:
        gateway.hub.stop()
        server.stop()
        await serving
        await end([connecting])
        await link.close()
        withdraw(settings.data_dir, SERVICE)
        log.info("stopped")


def _connected(task: asyncio.Task[None], stop: Stop) -> None:
    if task.cancelled():
        return
    error = task.exception()
    if error is None:
        log.info("started")
    else:
        stop.fail(str(error) if isinstance(error, StationError) else f"The bus cannot be used: {error!r}.")


def _warn(settings: Settings) -> None:
    if is_loopback(settings.http_host):
        return
    log.warning(
        "listening_beyond_loopback",
        host=settings.http_host,
        detail=(
            "ANYBODY who reaches this address can read, start and cancel runs: there is no login yet. "
            "X-Station-User is refused here, so nobody can approve or reject through this gateway."
        ),
    )
