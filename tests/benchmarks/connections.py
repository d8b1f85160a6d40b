"""HTTP/1.1 over connections that are kept open, with next to no work: it shares the cores with the one it asks."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast
from urllib.parse import urlsplit

import msgspec

from tests.benchmarks.errors import BenchError

REQUEST_SECONDS = 60.0
_END_OF_HEADERS, _LENGTH = b"\r\n\r\n", b"\r\ncontent-length:"


class Answer(msgspec.Struct, frozen=True):
    """A status and a body."""

    status: int
    body: bytes


class Connections:
    """To one server; as many as there are requests at a time. Close it at the end."""

    def __init__(self, url: str) -> None:
        """Nothing is opened yet."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._host, self._port = parts.hostname, parts.port
        self._idle: list[_Connection] = []

    async def request(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] = MappingProxyType({})
    ) -> Answer:
        """Send one request and wait for its answer. Raises ConnectionError, TimeoutError."""
        content = b"" if body is None else msgspec.json.encode(body)
        head = f"{method} {path} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(content)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection = await self._connection()
        async with asyncio.timeout(REQUEST_SECONDS):
            answer = await connection.ask(f"{head}\r\n".encode() + content)
        self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Close those that are idle; the others end with their server."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _connection(self) -> "_Connection":
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, self._host, self._port)
        return connection


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self.is_open = False
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(f"the server closed the connection ({exc})"))

    def ask(self, request: bytes) -> asyncio.Future[Answer]:
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_END_OF_HEADERS)
        if end < 0 or self._answer is None or self._answer.done():
            return
        head, start = self._received[:end].lower(), end + len(_END_OF_HEADERS)
        try:
            length = _content_length(head)
        except BenchError as error:
            self._answer.set_exception(error)
            return
        if len(self._received) >= start + length:
            answer = Answer(int(head[9:12]), self._received[start : start + length])
            self._received = self._received[start + length :]
            self._answer.set_result(answer)


def _content_length(head: bytes) -> int:
    at = head.find(_LENGTH)
    if at >= 0:
        return int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
    if head[9:12] == b"204":
        return 0
    raise BenchError(f"an answer without a length cannot be read here: {head.decode('latin-1')}")
