"""Puts approval-service together: bus, announcements, inbox, probes; and takes it apart again, in reverse."""

import asyncio
from contextlib import AsyncExitStack
from importlib.metadata import version

from station.approval_service.inbox import Inbox
from station.approval_service.scheduler_client import SchedulerClient
from station.approval_service.settings import SERVICE, Settings
from station.approval_service.tasks import Announcer
from station.contracts.health import Health
from station.runtime.broker import inbox_prefix
from station.runtime.bus import Bus
from station.runtime.health import Probes
from station.runtime.lifecycle import Stop, end
from station.runtime.logging import get_logger
from station.runtime.rpc import serve
from station.runtime.settings import effective

log = get_logger("app")


async def main(settings: Settings, stop: Stop) -> None:
    """Run until ``stop``, or until a part of it dies."""
    log.info("starting", **effective(settings))
    bus: Bus | None = None
    scheduler: SchedulerClient | None = None

    async def ready() -> Health:
        if bus is None or scheduler is None or not bus.connected:
            return Health(service=SERVICE, ready=False, detail="not connected to NATS")
        await scheduler.health()
        return Health(service=SERVICE, ready=True)

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            Probes(
                service=SERVICE,
                host=settings.metrics_host,
                port=settings.metrics_port,
                data_dir=settings.data_dir,
                ready=ready,
            )
        )
        bus = await _connected(settings, stop)
        if bus is None:
            return
        stack.push_async_callback(bus.close)
        scheduler = SchedulerClient(bus)
        served = await serve(
            bus,
            name=f"station-{SERVICE}",
            version=version(f"station-{SERVICE}"),
            description="Who may decide, by when, on what was shown.",
            endpoints=Inbox(scheduler).endpoints(),
        )
        stack.push_async_callback(served.stop)
        log.info("started")
        await _until_stopped(Announcer(bus, scheduler), stop)
    log.info("stopped")


async def _connected(settings: Settings, stop: Stop) -> Bus | None:
    """The bus, or None when we are told to stop before the broker was there."""
    connecting = asyncio.create_task(
        Bus.connect(settings.nats_url, name=f"station-{SERVICE}", inbox_prefix=inbox_prefix(SERVICE))
    )
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return connecting.result() if connecting.done() else None
    finally:
        for task in (connecting, stopping):
            task.cancel()


async def _until_stopped(announcer: Announcer, stop: Stop) -> None:
    announcing = asyncio.create_task(announcer.run())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({announcing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if announcing.done():
            announcing.result()
    finally:
        await end((announcing, stopping))
