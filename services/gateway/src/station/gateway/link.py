"""The connection to the bus, which HTTP does not wait for: probes answer, and requests are refused, without it."""

from importlib.metadata import version

from station.gateway.settings import SERVICE, Settings
from station.runtime.broker import inbox_prefix
from station.runtime.bus import Bus
from station.runtime.errors import Unavailable
from station.runtime.rpc import Served, serve


class Link:
    """Holds the bus from the moment it is there."""

    def __init__(self, bus: Bus | None = None) -> None:
        self._bus = bus
        self._served: Served | None = None

    @property
    def connected(self) -> bool:
        return self._bus is not None and self._bus.connected

    @property
    def bus(self) -> Bus:
        """Raises Unavailable before the first connection."""
        if self._bus is None:
            raise Unavailable("The gateway is not connected to NATS.")
        return self._bus

    async def open(self, settings: Settings) -> None:
        """Connect, however long it takes, and show up in service discovery."""
        name = f"station-{SERVICE}"
        self._bus = await Bus.connect(settings.nats_url, name=name, inbox_prefix=inbox_prefix(SERVICE))
        self._served = await serve(
            self._bus, name=name, version=version(name), description="HTTP and SSE in front of the bus.", endpoints=[]
        )

    async def close(self) -> None:
        if self._served is not None:
            await self._served.stop()
        if self._bus is not None:
            await self._bus.close()
