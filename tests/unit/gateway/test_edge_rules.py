"""Which host names and origins pass, and which addresses count as loopback."""

from typing import Any

import pytest

from station.gateway.edge import Edge
from station.gateway.settings import Settings, answered_hosts, is_loopback


async def passes(method: str = "GET", *, hosts: frozenset[str] | None, **headers: str) -> bool:
    """Whether a request with these headers reaches the application."""
    reached: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def nothing(*_message: Any) -> Any:
        return {}

    found = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope: Any = {"type": "http", "method": method, "headers": found, "path": "/"}
    await Edge(application, hosts=hosts)(scope, nothing, nothing)
    return bool(reached)


@pytest.mark.parametrize(
    ("host", "answered"),
    [("localhost:8585", True), ("LocalHost", True), ("[::1]:1", True), ("", True), ("localhost.evil.example", False)],
)
async def test_hosts(host: str, answered: bool) -> None:  # noqa: FBT001
    hosts = answered_hosts(Settings())
    assert await passes(hosts=hosts, host=host) is answered
    assert await passes(hosts=None, host=host)


@pytest.mark.parametrize(
    ("origin", "passed"),
    [
        ("http://localhost:5173", True),
        ("http://127.0.0.1", True),
        ("http://station.example", False),
        ("null", False),
        ("http://[", False),
    ],
)
async def test_origins_of_changes(origin: str, passed: bool) -> None:  # noqa: FBT001
    hosts = answered_hosts(Settings())
    assert await passes("POST", hosts=hosts, host="localhost", origin=origin) is passed
    assert await passes("GET", hosts=hosts, host="localhost", origin=origin)


async def test_a_public_gateway_takes_changes_of_its_own_pages_only() -> None:
    assert await passes("POST", hosts=None, host="station.example", origin="https://station.example")
    assert not await passes("POST", hosts=None, host="station.example", origin="https://evil.example")
    assert await passes("POST", hosts=None, host="station.example")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.1", False), ("example.org", False)],
)  # fmt: skip
def test_loopback(host: str, expected: bool) -> None:  # noqa: FBT001
    assert is_loopback(host) is expected
    assert (answered_hosts(Settings(http_host=host)) is not None) is expected
