"""What comes over a connection and is no request: it is refused with a problem document, and never kept for long."""

import asyncio
import contextlib
from urllib.parse import urlsplit

import httpx

from station.gateway.connection import MAX_HEAD_BYTES
from tests.integration.gateway.conftest import Running
from tests.integration.gateway.test_refusals import problem

_HOST = b"host: localhost\r\n"
_CHUNKED = (
    b"POST /api/v1/workflow-runs HTTP/1.1\r\n%bcontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
)
ENDLESS = {
    "a header": (b"GET /healthz HTTP/1.1\r\n" + _HOST + b"x: ", b"x" * 10_000),
    "headers": (b"GET /healthz HTTP/1.1\r\n" + _HOST, b"x: y\r\n" * 2000),
    "a path": (b"GET /healthz?", b"x" * 10_000),
}
ENDLESS_BESIDE_A_BODY = {
    "trailers": (_CHUNKED % _HOST + b"1\r\n{\r\n0\r\n", b"x: y\r\n" * 2000),
    "a chunk's extension": (_CHUNKED % _HOST + b"1\r\n{\r\n1;", b"x" * 10_000),
}
NO_REQUESTS = {
    "noise": bytes(range(256)),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a method of its own": b"FOO / HTTP/1.1\r\n" + _HOST + b"\r\n",
    "two lengths": b"POST / HTTP/1.1\r\n" + _HOST + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "a length and chunks": b"POST / HTTP/1.1\r\n"
    + _HOST
    + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
    "a key of two lines": b"POST / HTTP/1.1\r\n" + _HOST + b"idempotency-key: a\r\n b\r\n\r\n",
}


async def test_what_never_ends_is_cut_off(gateway: Running) -> None:
    for first, piece in ENDLESS.values():
        pieces = [piece] * (MAX_HEAD_BYTES // len(piece) + 1)
        problem(_parsed(await _exchange(gateway, first, *pieces)), 431, "head_too_large")
    assert (await gateway.client.get("/workflows")).status_code == 200


async def test_what_never_ends_beside_a_body_is_cut_off(gateway: Running) -> None:
    """However much of it came together with what went before; the answer may be lost to whoever goes on sending."""
    for first, piece in ENDLESS_BESIDE_A_BODY.values():
        reader, writer = await _connect(gateway)
        closed = asyncio.create_task(reader.read())
        writer.write(first)
        for _ in range(100):
            writer.write(piece)
            with contextlib.suppress(OSError):
                await writer.drain()
        with contextlib.suppress(OSError):
            assert (await closed).startswith(b"HTTP/1.1 431 ")
        writer.close()
    assert (await gateway.client.get("/workflows")).status_code == 200


async def test_a_head_just_below_the_limit_is_read(gateway: Running) -> None:
    headers = {f"x-{number}": "y" * 1000 for number in range(MAX_HEAD_BYTES // 1100)}
    assert (await gateway.client.get("/workflows", headers=headers)).status_code == 200


async def test_what_is_no_request_is_refused_as_everything_else(gateway: Running) -> None:
    for sent in NO_REQUESTS.values():
        problem(_parsed(await _exchange(gateway, sent)), 400, "request_malformed")
    assert (await gateway.client.get("/workflows")).status_code == 200


async def _exchange(gateway: Running, *pieces: bytes) -> bytes:
    """Send the pieces, each when the one before is on its way; what comes back until the other side closes."""
    reader, writer = await _connect(gateway)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer


async def _connect(gateway: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    where = urlsplit(gateway.url)
    return await asyncio.open_connection(where.hostname, where.port)


def _parsed(raw: bytes) -> httpx.Response:
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return httpx.Response(int(status.split()[1]), headers=headers, content=body)
