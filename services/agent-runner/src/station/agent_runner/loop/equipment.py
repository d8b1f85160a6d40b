"""What every loop of this process shares."""

from __future__ import annotations

from msgspec import Struct, field

from station.agent_runner.loop.prices import Prices
from station.agent_runner.loop.spans import Spans
from station.agent_runner.mcp.servers import McpServers
from station.runtime.telemetry import Telemetry


class Pace(Struct, frozen=True, kw_only=True):
    """How often a request is tried."""

    tries: int = 5
    seconds: float = 60.0
    """After so long nothing is tried again."""
    first_pause: float = 0.5
    """Seconds, doubled each time, where the provider does not say how long to wait."""


class Equipment(Struct, frozen=True, kw_only=True):
    """The parts that a loop works with."""

    prices: Prices = field(default_factory=Prices)
    spans: Spans = field(default_factory=lambda: Spans(Telemetry()))
    pace: Pace = Pace()
    servers: McpServers | None = None
    """None: agents here have no tools of servers."""
