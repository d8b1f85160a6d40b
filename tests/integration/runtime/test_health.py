"""Probes: what a supervisor and a scraper see of a process."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from station.contracts.health import Health
from station.runtime import health as health_module
from station.runtime.clock import from_rfc3339, now_ms
from station.runtime.health import Probes, announce, withdraw


class Service:
    """What the service says of itself; tests change it."""

    health = Health(service="scheduler", ready=True, facts={"outbox": 0})
    error: Exception | None = None
    hangs = False

    async def ready(self) -> Health:
        if self.hangs:
            await asyncio.Event().wait()
        if self.error:
            raise self.error
        return self.health


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def probes(service: Service, tmp_path: Path) -> AsyncIterator[Probes]:
    async with Probes(service="scheduler", host="127.0.0.1", port=0, data_dir=tmp_path, ready=service.ready) as started:
        yield started


async def get(probes: Probes, path: str, method: str = "GET") -> httpx.Response:
    async with httpx.AsyncClient(base_url=probes.url) as client:
        return await client.request(method, path)


async def test_a_process_that_answers_is_alive(probes: Probes) -> None:
    response = await get(probes, "/healthz?verbose=1")
    assert (response.status_code, response.json()["service"]) == (200, "scheduler")


async def test_ready_comes_with_its_facts(probes: Probes) -> None:
    response = await get(probes, "/readyz")
    assert (response.status_code, response.json()["facts"]) == (200, {"outbox": 0})


async def test_not_ready_comes_with_the_reason(probes: Probes, service: Service) -> None:
    service.health = Health(service="scheduler", ready=False, detail="the broker is away")
    response = await get(probes, "/readyz")
    assert (response.status_code, response.json()["detail"]) == (503, "the broker is away")
    service.error = RuntimeError("the disk is full")
    response = await get(probes, "/readyz")
    assert (response.status_code, response.json()["detail"]) == (503, "the disk is full")


async def test_a_check_that_hangs_counts_as_not_ready(
    probes: Probes, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "_READY_SECONDS", 0.05)
    service.hangs = True
    assert (await get(probes, "/readyz")).status_code == 503
    assert (await get(probes, "/healthz")).status_code == 200


async def test_metrics_are_what_prometheus_reads(probes: Probes) -> None:
    response = await get(probes, "/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert "station_bus_connected" in response.text


async def test_anything_else_is_refused(probes: Probes) -> None:
    assert (await get(probes, "/secrets")).status_code == 404
    assert (await get(probes, "/healthz", "POST")).status_code == 405


@pytest.mark.parametrize("sent", [b"", b"GET /", b"\xff" * 20_000, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 10])
async def test_a_broken_request_harms_nobody(probes: Probes, sent: bytes) -> None:
    port = int(probes.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    assert (await get(probes, "/healthz")).status_code == 200


async def test_the_file_says_where_it_is_while_it_runs(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "run/scheduler.json"
    async with Probes(service="scheduler", host="127.0.0.1", port=0, data_dir=tmp_path, ready=service.ready) as probes:
        facts = msgspec.json.decode(path.read_bytes())
        assert (facts["pid"], facts["url"]) == (os.getpid(), probes.url)
        assert abs(from_rfc3339(facts["startedAt"]) - now_ms()) < 60_000
    assert not path.exists()
    await probes.stop()


def test_the_file_of_a_newer_process_stays(tmp_path: Path) -> None:
    path = announce(tmp_path, "gateway", "http://127.0.0.1:8585")
    path.write_bytes(path.read_bytes().replace(str(os.getpid()).encode(), b"1"))
    withdraw(tmp_path, "gateway")
    assert path.exists()
