"""Messages to bytes and back, as msgpack between our services and as JSON for everybody else."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar, cast

import msgspec

from station.contracts.headers import CONTENT_TYPE, JSON, MSGPACK
from station.contracts.problems import Problem
from station.runtime.errors import Undecodable

__all__ = ["JSON", "MSGPACK", "Undecodable", "content_type_of", "decode", "encode"]

T = TypeVar("T")
Decoder = msgspec.json.Decoder[Any] | msgspec.msgpack.Decoder[Any]

_ENCODE: Final = {MSGPACK: msgspec.msgpack.Encoder().encode, JSON: msgspec.json.Encoder().encode}
_DECODERS: Final[Mapping[str, type[Decoder]]] = {MSGPACK: msgspec.msgpack.Decoder, JSON: msgspec.json.Decoder}
_ready: Final[dict[tuple[str, Any], Decoder]] = {}


def encode(message: object, content_type: str = MSGPACK) -> bytes:
    """The bytes of one message. Raises KeyError for a content type that is neither msgpack nor JSON."""
    return _ENCODE[content_type](message)


def decode(body: bytes, type: type[T], content_type: str = MSGPACK) -> T:
    """One message of the given type.

    Raises:
        Undecodable: the body is damaged, is of another shape, or is nested too deep.
    """
    decoder = _ready.get((content_type, type)) or _decoder(content_type, type)
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        raise Undecodable(_problem(message + ".", path=_pointer(where.rstrip("`")))) from None
    except msgspec.DecodeError as error:
        raise Undecodable(_problem(f"This is not {content_type}: {error}.")) from None
    except RecursionError:
        raise Undecodable(_problem("The body is nested too deep.")) from None


def content_type_of(headers: Mapping[str, str] | None, body: bytes) -> str:
    """What the sender says, else what the body looks like; an empty body is JSON from somebody's command line."""
    if headers:
        declared = headers.get(CONTENT_TYPE) or headers.get("Content-Type")
        if declared:
            return declared.partition(";")[0].strip().lower()
    return JSON if not body or body.lstrip()[:1] == b"{" else MSGPACK


def _decoder(content_type: str, message_type: Any) -> Decoder:
    if content_type not in _DECODERS:
        hint = f"Send {JSON} or {MSGPACK}."
        raise Undecodable(Problem("content_type", "", f"The content type {content_type!r} is not understood.", hint))
    decoder = cast("Decoder", _DECODERS[content_type](message_type))
    _ready[content_type, message_type] = decoder
    return decoder


def _problem(message: str, *, path: str = "") -> Problem:
    return Problem("body_invalid", path, message, "Compare it with the schema of this message.")


def _pointer(where: str) -> str:
    """``.items[0].name`` as the JSON pointer ``/items/0/name``."""
    return where.replace("[", ".").replace("]", "").replace(".", "/")
