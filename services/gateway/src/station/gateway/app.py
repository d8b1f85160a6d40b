"""The wiring: one Litestar application over the bus, behind the edge."""

from typing import Any

import msgspec
from litestar import Litestar, Request, Response, Router, get
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ASGIApp

from station.gateway.clients import RpcClient
from station.gateway.controllers.agents import Agents
from station.gateway.controllers.approvals import Approvals
from station.gateway.controllers.ops import healthz, metrics_page, readyz
from station.gateway.controllers.runs import Runs
from station.gateway.controllers.stream import RunStream
from station.gateway.controllers.workflows import Workflows
from station.gateway.documentation import landing
from station.gateway.edge import Edge
from station.gateway.feed import EventHub
from station.gateway.http_problems import to_response
from station.gateway.identity import Identity
from station.gateway.link import Link
from station.gateway.openapi import document_bytes, methods, openapi_config, query_types
from station.gateway.requests import MAX_BODY_BYTES, SERVICES, StrictRequest, check_query
from station.gateway.settings import Settings, answered_hosts, is_loopback
from station.gateway.sse import EventStreams, history_of


class Gateway(msgspec.Struct, frozen=True):
    """The application and what must be told of a shutdown."""

    app: ASGIApp
    litestar: Litestar
    hub: EventHub


def build(settings: Settings, link: Link) -> Gateway:
    """Everything that answers HTTP, on a connection that the caller owns."""
    client = RpcClient(link, command_seconds=settings.request_seconds)
    hub = EventHub(link, history_of(client), max_streams=settings.max_streams)
    streams = EventStreams(client, hub)
    identity = Identity(trusted=is_loopback(settings.http_host))

    async def admit(request: Request[Any, Any, Any]) -> Response[None] | None:
        identity.check(request)
        if request.method == "OPTIONS":  # Litestar's own answer knows only one handler of a path
            allow = {"Allow": methods(request.app, request.scope["path_template"])}
            return Response(None, status_code=204, headers=allow)
        check_query(request, query_types(request.app)[str(request.route_handler.operation_id)])
        return None

    api = Router(
        "/api/v1",
        route_handlers=[Workflows, Runs, RunStream, Approvals, Agents],
        before_request=admit,
        dependencies={"caller": Provide(identity.caller, sync_to_thread=False)},
    )
    litestar = Litestar(
        route_handlers=[api, healthz, readyz, metrics_page, openapi_json, landing],
        dependencies={"streams": _always(streams)},
        state=State({SERVICES: client}),
        exception_handlers={Exception: to_response},
        request_class=StrictRequest,
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=openapi_config(),
        logging_config=None,
    )
    return Gateway(app=Edge(litestar, hosts=answered_hosts(settings)), litestar=litestar, hub=hub)


@get("/openapi.json", include_in_schema=False)
async def openapi_json(request: Request[Any, Any, Any]) -> Response[bytes]:
    return Response(document_bytes(request.app), media_type="application/json")


def _always(value: object) -> Provide:
    return Provide(lambda: value, sync_to_thread=False)
