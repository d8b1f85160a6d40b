"""A client that outlasts a Station's restarts: it sends a request, with the same key, until it is answered."""

import time
import uuid

import httpx

from tests.support.driver import Driver

NOT_NOW = frozenset({502, 503, 504})
PATIENCE = 40.0
_PAUSE_SECONDS = 0.02


class PatientTransport(httpx.HTTPTransport):
    """Sends again what was not answered, or answered with "not now"."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and "idempotency-key" not in request.headers:
            request.headers["idempotency-key"] = uuid.uuid4().hex
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                response = super().handle_request(request)
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            else:
                if response.status_code not in NOT_NOW or time.monotonic() > deadline:
                    return response
                response.close()
            time.sleep(_PAUSE_SECONDS)


def patient(url: str) -> Driver:
    """A driver of the Station at ``url`` that never loses patience. Close its ``api`` after use."""
    transport = PatientTransport(limits=httpx.Limits(max_connections=100))
    return Driver(httpx.Client(base_url=f"{url}/api/v1", timeout=httpx.Timeout(10), transport=transport))
