"""Messages to bytes and back, as msgpack between our services and as JSON for everybody else."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar, cast

import msgspec

from station.contracts.headers import CONTENT_TYPE, CONTRACT_VERSION, JSON, MSGPACK, VERSION
from station.contracts.problems import Problem
from station.core.jsonvalue import large_integer, may_hold_large_integers
from station.runtime.errors import Undecodable

__all__ = ["JSON", "MSGPACK", "Undecodable", "check_integers", "content_type_of", "decode", "encode", "read"]

T = TypeVar("T")
_FIRST_BEYOND_ASCII: Final = 0x80
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
        Undecodable: the body is damaged, is of another shape, is nested too deep, or holds a number that is too large.
    """
    decoder = _ready.get((content_type, type)) or _decoder(content_type, type)
    try:
        message = decoder.decode(body)
    except msgspec.ValidationError as error:
        why, _, where = str(error).partition(" - at `$")
        raise Undecodable(_problem(why + ".", path=_pointer(where.rstrip("`")))) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Undecodable(_problem(f"This is not {content_type}: {error}.")) from None
    except RecursionError:
        raise Undecodable(_problem("The body is nested too deep.")) from None
    if content_type == JSON:
        check_integers(body)
    return message


def read(headers: Mapping[str, str] | None, body: bytes, type: type[T]) -> T:
    """One message of the given type as it came from the bus.

    Raises:
        Undecodable: as for `decode`; also when it is of a contract that we do not know.
    """
    version = headers.get(CONTRACT_VERSION, VERSION) if headers else VERSION
    if version != VERSION:
        said = f"The message is of contract version {version!r}, which is not known here."
        raise Undecodable(Problem("contract_version", "", said, f"Send one of version {VERSION}, or update Station."))
    return decode(body, type, content_type_of(headers, body))


def check_integers(body: bytes) -> None:
    """Refuse JSON with an integer of more than 64 bits: no other encoding that a value meets on its way holds it.

    Raises:
        Undecodable: there is one; says where.
    """
    place = large_integer(msgspec.json.decode(body)) if may_hold_large_integers(body) else None
    if place is not None:
        said = f"The integer at {place} has more than 64 bits."
        raise Undecodable(Problem("number_too_large", place, said, "Send it as text."))


def content_type_of(headers: Mapping[str, str] | None, body: bytes) -> str:
    """What the sender says, else what the body looks like.

    Every message is an object, which msgpack never begins with a character of ASCII: such a body was meant as JSON.
    """
    if headers:
        declared = headers.get(CONTENT_TYPE) or headers.get("Content-Type")
        if declared:
            return declared.partition(";")[0].strip().lower()
    return JSON if not body or body[0] < _FIRST_BEYOND_ASCII else MSGPACK


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
