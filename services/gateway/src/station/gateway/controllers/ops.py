"""What operators and machines ask of the gateway itself: alive, ready, metrics."""

import asyncio

from litestar import Response, get

from station.contracts.health import Health
from station.contracts.subjects import INBOX_HEALTH, QUERY_HEALTH
from station.gateway.clients import RpcClient
from station.gateway.problem_document import problems
from station.gateway.requests import StrictRequest
from station.gateway.settings import SERVICE
from station.runtime import metrics
from station.runtime.rpc import refuse


@get(
    "/healthz", operation_id="health", summary="Whether the process is alive", tags=["Operations"], responses=problems()
)
async def healthz() -> Health:
    return Health(service=SERVICE, ready=True)


@get(
    "/readyz",
    operation_id="ready",
    summary="Whether the bus, the scheduler and the approval service answer",
    tags=["Operations"],
    responses=problems(),
)
async def readyz(request: StrictRequest) -> Health:
    """Raises Refused (503) that names what is missing."""
    names = {"scheduler": QUERY_HEALTH, "approvalService": INBOX_HEALTH}
    checks = {"bus": "ok" if request.services.connected else "not connected"}
    answers = await asyncio.gather(*(_check(request.services, subject) for subject in names.values()))
    checks.update(zip(names, answers, strict=True))
    missing = [f"{name} ({state})" for name, state in checks.items() if state != "ok"]
    if missing:
        raise refuse(503, "not_ready", "Not ready: " + ", ".join(missing) + ".", checks=checks)
    return Health(service=SERVICE, ready=True, facts={"checks": checks})


@get(
    "/metrics",
    operation_id="metrics",
    summary="Figures for Prometheus",
    tags=["Operations"],
    media_type="text/plain",
    responses=problems(),
)
async def metrics_page() -> Response[str]:
    return Response(metrics.render().decode(), headers={"Content-Type": metrics.CONTENT_TYPE})


async def _check(services: RpcClient, subject: str) -> str:
    health = await services.health(subject)
    if isinstance(health, str):
        return health
    return "ok" if health.ready else health.detail or "not ready"
