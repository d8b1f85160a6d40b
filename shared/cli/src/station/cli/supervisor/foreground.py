"""Runs a Station inside this process until somebody says stop: what `stn up` and `stn demo` share."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import msgspec

from station.cli.errors import INTERRUPTED
from station.cli.supervisor.lock import DataDirectoryLock
from station.cli.supervisor.logs import LogSink, Stream
from station.cli.supervisor.ports import check_http_port, free_port, stable_port
from station.cli.supervisor.services import stages
from station.cli.supervisor.settings import LocalSettings
from station.cli.supervisor.system import System, wait_for_leftovers
from station.runtime.broker import write_config

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Work = Callable[[System, asyncio.Event], Awaitable[int]]
"""What is done while it runs; ends early when the event is set. Gives the exit code."""


def run(settings: LocalSettings, *, stream: Stream, work: Work) -> int:
    """Take the data directory, start everything, do ``work``, stop everything.

    The first Ctrl-C or SIGTERM stops in order, the second kills at once.

    Raises:
        CommandError: the directory or the port is taken, or a process does not start.
    """
    with DataDirectoryLock(settings.data_dir):
        wait_for_leftovers(settings.data_dir)
        if settings.http_port == 0:
            settings = msgspec.structs.replace(settings, http_port=free_port(settings.http_host))
        check_http_port(settings)
        sink = LogSink(settings.data_dir / "logs", stream)
        try:
            return asyncio.run(run_system(make_system(settings, sink), work))
        finally:
            sink.close()


def make_system(settings: LocalSettings, sink: LogSink) -> System:
    """The processes that these settings ask for, with the broker's configuration written."""
    broker = None
    if settings.nats_embedded:
        port = stable_port(settings.data_dir / "nats.port")
        broker = write_config(settings.data_dir, port, sync=settings.nats_sync)
    return System(stages(settings, broker), sink, data_dir=settings.data_dir, url=settings.url)


async def run_system(system: System, work: Work) -> int:
    """Start everything, do ``work``, stop everything; signals as `run` says."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, _told_to_stop, system, stop)
    try:
        starting = asyncio.create_task(system.start())
        if not await _first(starting, stop):
            return INTERRUPTED
        return await work(system, stop)
    finally:
        await system.stop()


async def _first(starting: asyncio.Task[None], stop: asyncio.Event) -> bool:
    """True when the start is done; False when it was broken off."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        starting.result()
        return True
    starting.cancel()
    await asyncio.wait({starting})
    return False


def _told_to_stop(system: System, stop: asyncio.Event) -> None:
    if stop.is_set():
        system.kill()
        os._exit(INTERRUPTED)
    stop.set()
