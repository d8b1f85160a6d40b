"""A client that does not give up: it repeats a request, with the same idempotency key, until there is an answer."""

import asyncio
import random
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx

from station.runtime.clock import now_ms
from tests.chaos_rig.ledger import Ledger

PAUSE_SECONDS = 0.2
SHOWN = 400
AGAIN = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})


class Api:
    """Speaks to ``/api/v1``. Cancel what waits here to give up."""

    def __init__(self, url: str, ledger: Ledger, rng: random.Random) -> None:
        limits = httpx.Limits(max_connections=400, max_keepalive_connections=100)
        self.http = httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=httpx.Timeout(15, connect=2), limits=limits)
        self._ledger = ledger
        self._rng = rng

    async def get(self, path: str, **query: Any) -> Any:
        """The JSON of what must be there."""
        answer = await self._until_answered("GET", path, params=query)
        if answer.status_code != HTTPStatus.OK:
            self._wrong(answer)
            return None
        return answer.json()

    async def look(self, path: str) -> httpx.Response:
        """Whatever the answer is."""
        return await self._until_answered("GET", path)

    async def post(
        self,
        path: str,
        body: Any,
        *,
        key: str,
        accept: Mapping[int, str],
        user: str = "chaos",
        service: str = "gateway",
    ) -> httpx.Response:
        """Have something done once.

        ``accept`` has a word for each status that may come. Now and then it is sent twice: at once, or once more
        after the answer; what both say must be the same.
        """
        headers = {"idempotency-key": key, "x-station-user": user}
        twins = 2 if self._rng.random() < 0.05 else 1
        again = self._rng.random() < 0.05
        send = [self._until_answered("POST", path, json=body, headers=headers) for _ in range(twins)]
        answers = list(await asyncio.gather(*send))
        if again:
            answers.append(await self._until_answered("POST", path, json=body, headers=headers))
        first = answers[0]
        for answer in answers:
            if answer.status_code not in accept:
                self._wrong(answer)
            elif _identity(answer) != _identity(first):
                self._ledger.wrong.append(f"{path} {key}: two answers: {first.text[:SHOWN]} and {answer.text[:SHOWN]}")
        if first.is_success:
            self._ledger.answers.setdefault(service, []).append(now_ms())
        return first

    async def _until_answered(self, method: str, path: str, **more: Any) -> httpx.Response:
        while True:
            self._ledger.requests += 1
            try:
                answer = await self.http.request(method, path, **more)
            except httpx.TransportError:
                answer = None
            if answer is not None:
                if answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                    return answer
                if answer.status_code not in AGAIN:
                    self._wrong(answer)
            self._ledger.retries += 1
            await asyncio.sleep(PAUSE_SECONDS * self._rng.uniform(0.5, 1.5))

    def _wrong(self, answer: httpx.Response) -> None:
        request = answer.request
        self._ledger.wrong.append(f"{request.method} {request.url.path}: {answer.status_code} {answer.text[:SHOWN]}")


def _identity(answer: httpx.Response) -> Any:
    """What two answers to one request must have in common."""
    body = answer.json() if answer.content else None
    return (answer.status_code, body.get("id") if isinstance(body, dict) else None)
