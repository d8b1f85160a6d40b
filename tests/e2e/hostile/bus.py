"""A hand on the bus, as any of its users: what it sends need not make sense."""

import random
import socket
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
import msgspec.inspect as shapes
from nats.aio.client import Client
from nats.aio.msg import Msg

from station.runtime.broker import inbox_prefix
from tests.support.system import System

INTEGERS = (-(2**63), -1, 0, 1, 1000, 2**31, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
TEXTS = ("", "a", "0", "\0", "*", ">", "a.b", "x" * 10_000, "__proto__", "ключ", "😀", "PENDING", "1.1", "9" * 40)
ANYTHING = (None, True, 0.1, 1e308, float("nan"), b"\xff", {1: 2}, {"": [{}]}, [[]], *INTEGERS, *TEXTS)


class Hands:
    """Connections by user, made when they are first needed."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._clients: dict[str, Client] = {}
        self.errors: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for client in self._clients.values():
            await client.close()

    async def of(self, user: str) -> Client:
        """The connection of a user of the broker."""
        if user not in self._clients:
            client = self._clients[user] = Client()
            await client.connect(
                self._system.nats_url(user), inbox_prefix=inbox_prefix(user), error_cb=self._note, connect_timeout=10
            )
        return self._clients[user]

    async def ask(self, user: str, subject: str, body: bytes, headers: dict[str, str] | None = None) -> Msg:
        return await (await self.of(user)).request(subject, body, timeout=20, headers=headers)

    async def _note(self, error: Exception) -> None:
        self.errors.append(str(error))


def send_raw(system: System, user: str, messages: list[tuple[str, bytes, bytes]]) -> None:
    """Publish messages, each a subject, the bytes of its headers as they are, and a body, as no client would."""
    url = urlsplit(system.nats_url(user))
    connect = {"user": url.username, "pass": url.password, "headers": True, "verbose": False, "pedantic": False}
    with socket.create_connection((str(url.hostname), url.port or 4222), 10) as connection:
        connection.sendall(b"CONNECT " + msgspec.json.encode(connect) + b"\r\n")
        for subject, headers, body in messages:
            sizes = f"{len(headers)} {len(headers) + len(body)}"
            connection.sendall(f"HPUB {subject} {sizes}\r\n".encode() + headers + body + b"\r\n")
        connection.sendall(b"PING\r\n")
        answers = b""
        while b"PONG\r\n" not in answers:
            answers += connection.recv(65536)
        assert b"-ERR" not in answers, answers


def no_text(whole: bytes) -> bytes:
    """A message with bytes in one of its texts that are no UTF-8."""
    assert b"run_" in whole
    return whole.replace(b"run_", b"run\xff", 1)


def status_of(answer: Msg) -> int:
    """The HTTP status that an answer means."""
    return int((answer.headers or {}).get("Nats-Service-Error-Code", "200"))


def broken(random_: random.Random, whole: bytes) -> list[bytes]:
    """Bodies that are no message, or the half of one."""
    noise = random_.randbytes(random_.randrange(1, 2000))
    cut = whole[: random_.randrange(len(whole))]
    flipped = bytearray(whole)
    flipped[random_.randrange(len(whole))] ^= 1 << random_.randrange(8)
    return [b"", b"\xc1", b"null", b"[]", b'{"a":' * 2000, b"\x91" * 2000, noise, cut, bytes(flipped)]


def extreme(random_: random.Random, shape: shapes.Type) -> Any:  # noqa: C901, PLR0911, PLR0912 - one line per shape
    """A value of the shape, as far from the usual as it may be; limits of numbers are not kept."""
    match shape:
        case shapes.StructType():
            chosen = [field for field in shape.fields if field.required or random_.random() < 0.6]
            return {field.encode_name: extreme(random_, field.type) for field in chosen}
        case shapes.UnionType():
            return extreme(random_, random_.choice(shape.types))
        case shapes.IntType():
            return random_.choice(INTEGERS)
        case shapes.FloatType():
            return random_.choice((0.0, -1.0, 1e308, float("nan"), float("inf")))
        case shapes.StrType():
            return random_.choice(TEXTS)
        case shapes.BoolType():
            return random_.random() < 0.5
        case shapes.BytesType():
            return random_.choice((b"", b"{}", random_.randbytes(30), b"id: w\nstates: []"))
        case shapes.LiteralType():
            return random_.choice(shape.values)
        case shapes.EnumType():
            return random_.choice([member.value for member in shape.cls])
        case shapes.ListType() | shapes.VarTupleType():
            return [extreme(random_, shape.item_type) for _ in range(random_.randrange(3))]
        case shapes.DictType():
            return {random_.choice(TEXTS): extreme(random_, shape.value_type) for _ in range(random_.randrange(3))}
        case shapes.NoneType():
            return None
        case _:
            return random_.choice(ANYTHING)


def extreme_body(random_: random.Random, kind: type[msgspec.Struct]) -> bytes:
    return msgspec.msgpack.encode(extreme(random_, shapes.type_info(kind)))
