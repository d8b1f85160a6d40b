"""Answers of the bus as HTTP responses: passed on byte for byte, never decoded and encoded again."""

from typing import Any

import msgspec
from litestar import Response

from station.contracts.headers import JSON

KEY_HEADER = "Idempotency-Key"


class Identified(msgspec.Struct):
    """What every made thing has."""

    id: str


def passed_on(answer: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> Any:
    """A response with the answer as its body. Typed Any, so that a handler can name what is in it."""
    return Response(answer, status_code=status, headers=headers, media_type=JSON)


def keyed(answer: bytes, key: str, *, status: int = 200) -> Any:
    """The answer of a command that was sent under an idempotency key, which the response tells."""
    return passed_on(answer, status=status, headers={KEY_HEADER: key})


def created(answer: bytes, location: str, headers: dict[str, str] | None = None) -> Any:
    """201, with the address of what was made below ``location``."""
    made = msgspec.json.decode(answer, type=Identified)
    return passed_on(answer, status=201, headers={**(headers or {}), "Location": f"{location}/{made.id}"})
