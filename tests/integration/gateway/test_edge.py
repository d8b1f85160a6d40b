"""Who may come in, under which name, and what every response carries."""

import httpx
import pytest

from station.contracts import subjects
from tests.integration.gateway.conftest import Running, Start
from tests.integration.gateway.test_refusals import problem
from tests.support.fake_scheduler import FakeScheduler


async def test_every_response_is_hardened(gateway: Running) -> None:
    for path in ("/api/v1/workflows", "/api/v1/nothing", "/healthz", "/", "/docs", "/metrics", "/openapi.json"):
        headers = (await gateway.client.get(gateway.url + path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "server" not in headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8585", "localhost.evil.example", "[fe80::1]"])
async def test_another_host_name_is_refused_on_loopback(http: httpx.AsyncClient, host: str) -> None:
    problem(await http.get("/workflows", headers={"Host": host}), 403, "host_not_allowed")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:99", "[::1]:8585"])
async def test_loopback_names_are_answered(http: httpx.AsyncClient, host: str) -> None:
    assert (await http.get("/workflows", headers={"Host": host})).status_code == 200


async def test_allowed_hosts_can_be_set(start: Start, scheduler: FakeScheduler) -> None:
    gateway = await start(allowed_hosts="station.example, other")
    assert (await gateway.client.get("/workflows", headers={"Host": "station.example"})).status_code == 200
    problem(await gateway.client.get("/workflows"), 403, "host_not_allowed")


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_a_page_of_another_origin_changes_nothing(
    http: httpx.AsyncClient, scheduler: FakeScheduler, headers: dict[str, str]
) -> None:
    problem(await http.post("/workflow-runs/run_1/cancel", headers=headers), 403, "cross_origin")
    assert not scheduler.asked


async def test_our_own_page_may(http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
    scheduler.add_run("run_1", "run_created")
    headers = {"Origin": "http://localhost:5173", "Sec-Fetch-Site": "same-site"}
    assert (await http.post("/workflow-runs/run_1/cancel", headers=headers)).status_code == 200


async def test_teams_and_user_reach_the_inbox(http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
    headers = {"X-Station-User": "alice@example.org", "X-Station-Teams": "sre, ops"}
    answer = await http.post("/workflow-runs/run_1/approvals/appr_1/approve", json={"comment": "ok"}, headers=headers)
    assert answer.status_code == 200
    asked = scheduler.last(subjects.INBOX_DECIDE)
    assert (asked.principal.user, asked.principal.teams, asked.principal.auth) == (
        "alice@example.org",
        ("sre", "ops"),
        "none",
    )


@pytest.mark.parametrize("name", ["two words", "a/b", "x" * 129, ""])
async def test_a_wrong_user_name(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.post("/workflow-runs/run_1/pause", headers={"X-Station-User": name})
    assert "X-Station-User" in problem(answer, 400, "parameter_invalid")["detail"]


async def test_beyond_loopback_nobody_is_believed(start: Start, scheduler: FakeScheduler) -> None:
    scheduler.add_run("run_1", "run_created")
    gateway = await start(http_host="0.0.0.0")
    http = gateway.client
    for headers in ({"X-Station-User": "alice"}, {"X-Station-Teams": "sre"}):
        problem(await http.get("/workflows", headers=headers), 403, "identity_unproven")
    for path in ("approve", "reject"):
        found = problem(await http.post(f"/workflow-runs/run_1/approvals/appr_1/{path}"), 403, "identity_unproven")
        assert "127.0.0.1" in found["detail"]
    problem(await http.get("/workflow-approvals?mine=true"), 403, "identity_unproven")
    assert not scheduler.asked
    assert (await http.get("/workflow-approvals")).status_code == 200
    assert (await http.post("/workflow-runs/run_1/pause", headers={"Host": "anything"})).status_code == 200
    assert scheduler.last(subjects.RUN_PAUSE).actor == "user:anonymous"
