"""The OpenAPI document covers the API's table, and every refusal in it is a problem document."""

from typing import Any

import pytest

from station.gateway.app import build
from station.gateway.link import Link
from station.gateway.openapi import document
from station.gateway.settings import Settings

ROUTES = """
GET /workflows 200
POST /workflows 201
POST /workflows/validate 200
GET /workflows/{workflowId} 200
PUT /workflows/{workflowId} 200
DELETE /workflows/{workflowId} 204
GET /workflows/{workflowId}/versions 200
POST /workflows/{workflowId}/rollback 200
POST /workflows/{workflowId}/disable 200
POST /workflows/{workflowId}/enable 200
POST /workflow-runs 201
GET /workflow-runs 200
GET /workflow-runs/{runId} 200
GET /workflow-runs/{runId}/steps 200
GET /workflow-runs/{runId}/events 200
POST /workflow-runs/{runId}/pause 200
POST /workflow-runs/{runId}/resume 200
POST /workflow-runs/{runId}/cancel 200
POST /workflow-runs/{runId}/signals 202
GET /workflow-runs/{runId}/approvals 200
POST /workflow-runs/{runId}/approvals/{approvalId}/approve 200
POST /workflow-runs/{runId}/approvals/{approvalId}/reject 200
GET /workflow-approvals 200
GET /workflow-runs/{runId}/stream 200
GET /agents 200
GET /agents/{name} 200
"""


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return document(build(Settings(), Link()).litestar)


def test_every_route_of_the_api_is_there_and_no_other(described: dict[str, Any]) -> None:
    found = {
        f"{method.upper()} {path.removeprefix('/api/v1')} {min(operation['responses'])}"
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/api/v1")
    }
    assert found == set(ROUTES.split("\n")) - {""}


def test_every_refusal_is_a_problem_document(described: dict[str, Any]) -> None:
    for methods in described["paths"].values():
        for operation in methods.values():
            refusals = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
            assert {"400", "403", "500", "503"} <= set(refusals), operation["operationId"]
            for answer in refusals.values():
                schema = answer["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ProblemDocument"}


def test_bodies_say_whether_they_may_be_left_out(described: dict[str, Any]) -> None:
    paths = described["paths"]
    assert paths["/api/v1/workflow-runs"]["post"]["requestBody"]["required"] is True
    assert paths["/api/v1/workflow-runs/{runId}/cancel"]["post"]["requestBody"]["required"] is False
    body = paths["/api/v1/workflow-runs/{runId}/cancel"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/ReasonBody"}
    kinds = paths["/api/v1/workflows"]["post"]["requestBody"]["content"]
    assert set(kinds) == {"application/json", "application/yaml", "application/x-yaml", "text/yaml"}


def test_structs_are_described_in_camel_case_and_closed_where_they_are_bodies(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    assert {"workflowId", "runId", "input"} <= set(schemas["StartRunBody"]["properties"])
    assert schemas["StartRunBody"]["required"] == ["workflowId"]
    assert schemas["StartRunBody"]["additionalProperties"] is False
    assert "additionalProperties" not in schemas["RunView"]
    assert "lastSeq" in schemas["RunView"]["properties"]
