"""What the edge refuses by itself, before anything reaches the bus: each with a code and with what to do."""

from typing import Any

import httpx
import pytest

from tests.support.fake_scheduler import FakeScheduler

JSON = {"Content-Type": "application/json"}


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document, checked for what every one of them has."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert (found["status"], found["code"], found["type"]) == (status, code, f"urn:station:problem:{code}")
    assert found["title"]
    assert found["detail"]
    return found


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (b'{"workflowId": "a", "imput": {}}', "body_invalid", "Did you mean 'input'?"),
        (b'{"workflowId": "a", "Version": 2}', "body_invalid", "Did you mean 'version'?"),
        (b'{"workflowId": "a", "zzz": 2}', "body_invalid", "Known fields: workflowId, version, input"),
        (b'{"input": {}}', "body_invalid", "`workflowId`"),
        (b'{"workflowId": "a", "version": "2"}', "body_invalid", "at /version"),
        (b'{"workflowId": "a", "version": 0}', "body_invalid", ">= 1"),
        (b'{"workflowId": "a", "labels": {"x": 1}}', "body_invalid", "at /labels/..."),
        (b'{"workflowId": "a", "runId": "no spaces"}', "body_invalid", "at /runId"),
        (b"[]", "body_invalid", "got `array`"),
        (b'{"workflowId": "a",\n  "input": }', "json_malformed", "line 2, column 12"),
        (b'{"workflowId": "a"', "json_malformed", "line 1, column 19"),
        (b'{"workflowId": "\xff"}', "json_malformed", "not JSON"),
        (b'{"workflowId": "a", "input": {"a": ' + b"[" * 100_000, "json_malformed", "deep"),
    ],
)
async def test_a_wrong_body(
    http: httpx.AsyncClient, scheduler: FakeScheduler, body: bytes, code: str, says: str
) -> None:
    found = problem(await http.post("/workflow-runs", content=body, headers=JSON), 400, code)
    assert says in found["detail"]
    assert not scheduler.asked


async def test_every_unknown_field_is_listed(http: httpx.AsyncClient) -> None:
    answer = await http.post("/workflow-runs", json={"workflowId": "a", "imput": 1, "lables": 2})
    found = problem(answer, 400, "body_invalid")
    assert [(error["code"], error["path"]) for error in found["errors"]] == [
        ("unknown_field", "/imput"),
        ("unknown_field", "/lables"),
    ]
    assert found["errors"][1]["hint"] == "Did you mean 'labels'?"


async def test_a_missing_body(http: httpx.AsyncClient) -> None:
    found = problem(await http.post("/workflow-runs"), 400, "body_missing")
    assert "JSON body" in found["detail"]


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/yaml"])
@pytest.mark.parametrize("path", ["/workflow-runs", "/workflow-runs/run_1/cancel"])
async def test_a_wrong_content_type(http: httpx.AsyncClient, kind: str | None, path: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    found = problem(await http.post(path, content=b"{}", headers=headers), 415, "content_type_unsupported")
    assert "application/json" in found["detail"]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
async def test_a_content_coding(http: httpx.AsyncClient, coding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    found = problem(
        await http.post("/workflow-runs", content=b"{}", headers=headers), 415, "content_coding_unsupported"
    )
    assert coding in found["detail"]


@pytest.mark.parametrize("kind", ["text/plain", "application/json-patch+json"])
async def test_a_definition_of_a_wrong_content_type(http: httpx.AsyncClient, kind: str) -> None:
    answer = await http.post("/workflows", content=b"id: a", headers={"Content-Type": kind})
    assert "application/yaml" in problem(answer, 415, "content_type_unsupported")["detail"]


async def test_a_body_over_the_limit(http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
    body = b'{"workflowId": "a", "input": {"a": "' + b"x" * 1024 * 1024 + b'"}}'
    found = problem(await http.post("/workflow-runs", content=body, headers=JSON), 413, "body_too_large")
    assert "1 MiB" in found["detail"]
    assert not scheduler.asked


@pytest.mark.parametrize(
    ("path", "code", "says"),
    [
        ("/workflow-runs?limit=0", "parameter_invalid", "query parameter limit: Expected `int` >= 1"),
        ("/workflow-runs?limit=201", "parameter_invalid", "<= 200"),
        ("/workflow-runs?limit=many", "parameter_invalid", "limit"),
        ("/workflow-runs?status=running", "parameter_invalid", "status"),
        ("/workflow-runs?label=team", "parameter_invalid", "'team' is not key:value"),
        ("/workflow-runs?label=:x", "parameter_invalid", "':x' is not key:value"),
        ("/workflow-runs?workflow=x", "parameter_unknown", "Did you mean 'workflowId'?"),
        ("/workflow-runs/run_1?version=1", "parameter_unknown", "It takes none."),
        ("/workflow-runs?status=null", "parameter_invalid", "query parameter status is null."),
        ("/workflows/w?version=null", "parameter_invalid", "query parameter version is null."),
        ("/workflow-runs?status=FAILED&status=COMPLETED", "parameter_invalid", "status may be given once"),
        ("/workflow-runs/run_1/events?after=-1", "parameter_invalid", "after"),
        ("/workflow-runs/run_1/events?type=step_begun", "parameter_invalid", "type"),
        ("/workflow-runs/run_1/events?cursor=xyz", "parameter_invalid", "cursor"),
        ("/workflows/a?version=0", "parameter_invalid", "version"),
        ("/workflow-approvals?mine=perhaps", "parameter_invalid", "mine"),
    ],
)
async def test_a_wrong_parameter(
    http: httpx.AsyncClient, scheduler: FakeScheduler, path: str, code: str, says: str
) -> None:
    found = problem(await http.get(path), 400, code)
    assert says in found["detail"]
    assert found["errors"][0]["path"].startswith("query.")
    assert not scheduler.asked


async def test_a_wrong_status_lists_the_right_ones(http: httpx.AsyncClient) -> None:
    found = problem(await http.get("/workflow-runs?status=running"), 400, "parameter_invalid")
    assert "WAITING_APPROVAL" in found["errors"][0]["hint"]


@pytest.mark.parametrize("key", ["", "ü", "x" * 256])
async def test_a_wrong_idempotency_key(http: httpx.AsyncClient, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode()}
    answer = await http.post("/workflow-runs", json={"workflowId": "a"}, headers=headers)
    assert "Idempotency-Key" in problem(answer, 400, "parameter_invalid")["detail"]


async def test_no_such_path_and_no_such_method(http: httpx.AsyncClient) -> None:
    assert "/openapi.json" in problem(await http.get("/nothing"), 404, "route_not_found")["detail"]
    answer = await http.patch("/workflow-runs")
    problem(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) >= {"GET", "POST"}


async def test_options_tells_the_methods(http: httpx.AsyncClient) -> None:
    answer = await http.options("/workflow-runs?whatever=1")
    assert answer.status_code == 204
    assert set(answer.headers["allow"].split(", ")) == {"GET", "POST", "OPTIONS"}


async def test_a_broken_answer_is_a_problem_without_insides(http: httpx.AsyncClient, scheduler: FakeScheduler) -> None:
    scheduler.answers["wf.rpc.run.start"] = lambda _: b"not json at all"
    found = problem(await http.post("/workflow-runs", json={"workflowId": "a"}), 500, "internal")
    assert "log" in found["detail"]
    assert "json" not in found["detail"]
