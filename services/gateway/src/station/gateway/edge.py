"""The outermost layer: which requests may come in at all, what every response carries, and what is counted."""

import asyncio
from collections.abc import Iterable
from time import perf_counter
from urllib.parse import urlsplit

from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from station.contracts.errors import Failure
from station.gateway.http_problems import render
from station.gateway.metrics import LATENCY, REQUESTS
from station.gateway.problem_document import MEDIA_TYPE

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS = _SAFE | {"POST", "PUT", "PATCH", "DELETE"}
_POLICY = b"default-src 'none'; frame-ancestors 'none'"
_SECURITY = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"content-security-policy": _POLICY,
}
_STOPPING = Failure(
    code="unavailable",
    detail="The gateway stops, and had no answer yet. Whether it was carried out is unknown: send it again with the "
    "same Idempotency-Key, if it had one; otherwise look before you do.",
    status=503,
)


class Edge:
    """An ASGI application around another. ``hosts``: the names it answers to (None: any), against DNS rebinding."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str] | None) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, sent = perf_counter(), False

        async def sending(message: Message) -> None:
            nonlocal sent
            if message["type"] == "http.response.start":
                sent = True
                message["headers"] = _secured(message["headers"])
                _count(scope, message["status"], perf_counter() - started)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await _refuse(refusal, sending)
            return
        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:  # the server stops, and has waited as long as it may
            if sent:
                raise
            await _refuse(_STOPPING, sending)
        finally:
            if not sent:
                _count(scope, 499, perf_counter() - started)

    def _refusal(self, scope: HTTPScope) -> Failure | None:
        headers = dict(scope["headers"])
        host = _host_name(headers.get(b"host", b"").decode("latin-1"))
        if self._hosts is not None and host and host not in self._hosts:
            detail = (
                f"This gateway does not answer to the host name {host!r}. "
                "Use localhost, or name it in STATION_ALLOWED_HOSTS."
            )
            return Failure(code="host_not_allowed", detail=detail, status=403)
        if scope["method"] not in _SAFE and _from_elsewhere(headers, host, self._hosts):
            detail = "A page of another origin may not change anything here; send the request from a program."
            return Failure(code="cross_origin", detail=detail, status=403)
        return None


def _host_name(host: str) -> str:
    """The name in a Host header: without the port and the brackets, in lower case; empty when it makes no sense."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return host


def _from_elsewhere(headers: dict[bytes, bytes], host: str, hosts: frozenset[str] | None) -> bool:
    """Whether a browser sent this from a page that is not ours: no login protects us yet, so the browser must."""
    if headers.get(b"sec-fetch-site") == b"cross-site":
        return True
    origin = headers.get(b"origin")
    if origin is None:
        return False
    try:
        name = urlsplit(origin.decode("latin-1")).hostname
    except ValueError:
        return True
    return name != host and name not in (hosts or ())


async def _refuse(failure: Failure, send: Send) -> None:
    rendered = render(failure)
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(rendered.body)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in rendered.headers.items()]
    await send({"type": "http.response.start", "status": rendered.status, "headers": headers})
    await send({"type": "http.response.body", "body": rendered.body, "more_body": False})


def _secured(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    found = list(headers)
    names = {name.lower() for name, _ in found}
    return found + [(name, value) for name, value in _SECURITY.items() if name not in names]


def _count(scope: HTTPScope, status: int, seconds: float) -> None:
    route: str = scope.get("path_template", "none")  # pyright: ignore[reportUnknownMemberType]
    method = scope["method"] if scope["method"] in _METHODS else "other"
    REQUESTS.labels(method, route, str(status)).inc()
    LATENCY.labels(method, route).observe(seconds)
