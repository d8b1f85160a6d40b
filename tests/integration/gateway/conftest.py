"""A gateway on a free port in this process, a real NATS server, and a fake scheduler behind it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from station.gateway.app import Gateway, build
from station.gateway.link import Link
from station.gateway.server import Server, bind, url_of
from station.gateway.settings import Settings
from station.runtime.bus import Bus
from tests.support.fake_scheduler import FakeScheduler
from tests.support.nats import NatsServer, nats_server  # noqa: F401


class Running:
    """A gateway that answers at ``url``."""

    def __init__(self, gateway: Gateway, listening: socket.socket, client: httpx.AsyncClient) -> None:
        self.gateway = gateway
        self.url = url_of(listening)
        self.client = client


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def scheduler(nats_server: NatsServer) -> AsyncIterator[FakeScheduler]:  # noqa: F811
    bus = await Bus.connect(nats_server.url, name="fake")
    fake = FakeScheduler(bus)
    await fake.start()
    yield fake
    await bus.close()


@pytest.fixture
async def start(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Start]:  # noqa: F811
    """Starts gateways with the settings a test gives, and stops them at its end."""
    async with AsyncExitStack() as stack:

        async def starting(**settings: object) -> Running:
            chosen = {"http_port": 0, "data_dir": tmp_path, "nats_url": nats_server.url, **settings}
            return await stack.enter_async_context(_running(Settings(**chosen)))  # pyright: ignore[reportArgumentType]

        yield starting


@pytest.fixture
async def gateway(start: Start, scheduler: FakeScheduler) -> Running:
    return await start()


@pytest.fixture
def http(gateway: Running) -> httpx.AsyncClient:
    return gateway.client


@asynccontextmanager
async def _running(settings: Settings) -> AsyncIterator[Running]:
    link = Link()
    await link.open(settings)
    gateway = build(settings, link)
    # The address is the test's own; what the settings say of it decides who is believed.
    listening = bind("127.0.0.1", 0)
    server = Server(gateway.app)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event to wait for
        await asyncio.sleep(0)
    async with httpx.AsyncClient(base_url=url_of(listening) + "/api/v1", trust_env=False, timeout=20) as client:
        yield Running(gateway, listening, client)
    gateway.hub.stop()
    server.stop()
    await serving
    await link.close()
