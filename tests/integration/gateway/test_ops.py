"""Probes, metrics and the pages: all of it from this process, nothing from outside."""

import re

import httpx
import pytest

from station.contracts import subjects
from station.contracts.health import Health
from tests.integration.gateway.conftest import Running, Start
from tests.integration.gateway.test_refusals import problem
from tests.support.fake_scheduler import FakeScheduler
from tests.support.nats import NatsServer


async def get(gateway: Running, path: str) -> httpx.Response:
    return await gateway.client.get(gateway.url + path)


async def test_alive_and_ready(gateway: Running) -> None:
    assert (await get(gateway, "/healthz")).json()["ready"] is True
    ready = await get(gateway, "/readyz")
    assert ready.status_code == 200
    assert ready.json()["facts"]["checks"] == {"bus": "ok", "scheduler": "ok", "approvalService": "ok"}


async def test_not_ready_names_what_is_missing(start: Start, scheduler: FakeScheduler) -> None:
    gateway = await start()
    scheduler.answers[subjects.INBOX_HEALTH] = lambda _: Health(
        service="approval-service", ready=False, detail="no bus"
    )
    troubled = await get(gateway, "/readyz")
    assert (troubled.status_code, troubled.json()["detail"]) == (200, "approvalService: no bus"), "it answers"
    await scheduler.stop()
    found = problem(await get(gateway, "/readyz"), 503, "not_ready")
    assert "nobody answers" in found["checks"]["scheduler"]
    assert found["detail"].startswith("Not ready: scheduler (")


async def test_without_a_broker_it_is_alive_but_not_ready(gateway: Running, nats_server: NatsServer) -> None:
    nats_server.kill()
    found = problem(await get(gateway, "/readyz"), 503, "not_ready")
    assert set(found["checks"]) == {"bus", "scheduler", "approvalService"}
    assert "ok" not in (found["checks"]["scheduler"], found["checks"]["approvalService"])
    assert (await get(gateway, "/healthz")).status_code == 200


async def test_metrics_count_by_route_not_by_path(gateway: Running) -> None:
    await get(gateway, "/api/v1/workflows/one-of-many")
    await get(gateway, "/api/v1/no/such/path")
    answer = await get(gateway, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    text = answer.text
    assert re.search(
        r'station_http_requests_total\{method="GET",route="/api/v1/workflows/\{workflow_id\}",status="200"\} \d', text
    )
    assert 'route="none",status="404"' in text
    assert "one-of-many" not in text
    assert "station_gateway_streams 0.0" in text


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_pages_ask_nothing_of_the_outside(gateway: Running, path: str) -> None:
    page = await get(gateway, path)
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r'(?:src|href)="(?!/)', page.text)
    assert "<script>" not in page.text
    assert "style=" not in page.text
    assets = re.findall(r'(?:src|href)="(/docs/assets/[^"]+)"', page.text)
    assert assets
    for asset in assets:
        assert (await get(gateway, asset)).status_code == 200


async def test_only_known_assets_are_served(gateway: Running) -> None:
    for name in ("swagger-initializer.js", "..%2f__main__.py", "docs.html"):
        problem(await get(gateway, f"/docs/assets/{name}"), 404, "route_not_found")


async def test_the_docs_page_may_run_its_scripts(gateway: Running) -> None:
    policy = (await get(gateway, "/docs")).headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "connect-src 'self'" in policy
