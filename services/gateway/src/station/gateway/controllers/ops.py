"""What operators and machines ask of the gateway itself: alive, ready, metrics."""

import asyncio

from litestar import Response, get

from station.contracts.health import Health
from station.contracts.subjects import INBOX_HEALTH, QUERY_HEALTH
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
    """Raises Refused (503) that names who does not answer. Who answers with a trouble still takes requests."""
    names = {"scheduler": QUERY_HEALTH, "approvalService": INBOX_HEALTH}
    checks = {"bus": "ok" if request.services.connected else "not connected"}
    answers = await asyncio.gather(*(request.services.health(subject) for subject in names.values()))
    silent = {name: answer for name, answer in zip(names, answers, strict=True) if isinstance(answer, str)}
    troubles = {
        name: answer.detail or "not ready"
        for name, answer in zip(names, answers, strict=True)
        if not isinstance(answer, str) and not answer.ready
    }
    checks |= {name: silent.get(name) or troubles.get(name) or "ok" for name in names}
    missing = [f"{name} ({checks[name]})" for name in checks if checks[name] != "ok" and name not in troubles]
    if missing:
        raise refuse(503, "not_ready", "Not ready: " + ", ".join(missing) + ".", checks=checks)
    detail = ", ".join(f"{name}: {trouble}" for name, trouble in troubles.items()) or None
    return Health(service=SERVICE, ready=True, detail=detail, facts={"checks": checks})


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
