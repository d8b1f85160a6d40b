"""The bodies that the API accepts, and how bytes become one: strictly, and with a place in every refusal."""

import re
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from station.contracts.problems import Problem
from station.contracts.wire import Wire
from station.gateway.nearest import nearest
from station.runtime.codec import Undecodable, check_integers
from station.runtime.rpc import Refused, refuse

T = TypeVar("T")

RUN_ID_PATTERN = "^[A-Za-z0-9_-]{1,128}$"
LARGEST_VERSION = 2**31 - 1

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Version = Annotated[int, Meta(ge=1, le=LARGEST_VERSION)]
Text = Annotated[str, Meta(max_length=10_000)]


class Body(Wire, forbid_unknown_fields=True):
    """Base of request bodies."""


class StartRunBody(Body):
    workflow_id: Name
    version: Version | None = None
    """A stored revision; without it, the newest."""
    input: dict[str, Any] = {}
    environment: Name | None = None
    """Where the agents live; without it, the workflow's own, else ``default``."""
    labels: dict[str, str] = {}
    """Names have neither ``:`` nor ``=``, which end the name in a filter (``label=team:ops``)."""
    run_id: Annotated[str, Meta(pattern=RUN_ID_PATTERN)] | None = None
    """An id of your own choice; without it, one is made."""


class ReasonBody(Body):
    reason: Text | None = None


class SignalBody(Body):
    name: Name
    payload: Any = None
    id: Name | None = None
    """A second signal of the same id is accepted and changes nothing."""


class DecisionBody(Body):
    comment: Text | None = None
    summary_digest: Annotated[str, Meta(max_length=128)] | None = None
    """The ``summaryDigest`` of what was shown; refused when something else stands there now."""


class RollbackBody(Body):
    version: Version


def decode_body(body: bytes, kind: type[T]) -> T:
    """The body as the given struct.

    Raises:
        Refused: 400, with the position of what is not JSON, or the path of what does not fit.
    """
    try:
        decoded = msgspec.json.decode(body, type=kind)
        check_integers(body)
    except msgspec.ValidationError as error:
        document = _parsed(body)
        if _made_whole(document):
            return decode_body(msgspec.json.encode(document), kind)
        problems = _unknown_fields(document, kind) or [_misfit(str(error))]
        detail = "The body does not fit: " + " ".join(problem.message for problem in problems)
        raise refuse(400, "body_invalid", detail, errors=problems) from None
    except Undecodable as error:
        raise refuse(400, "body_invalid", error.problem.message, errors=[error.problem]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(error, body) from None
    return decoded


def _parsed(body: bytes) -> Any:
    """The JSON of a body that does not fit, which may also be broken further on."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(error, body) from None


def _made_whole(document: Any) -> bool:
    """Turn a version of 3.0 into 3, and tell whether there was one: JSON Schema takes both as the same integer."""
    version: object = document.get("version") if isinstance(document, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    if not isinstance(version, float) or not version.is_integer():
        return False
    document["version"] = int(version)
    return True


def _malformed(error: Exception, body: bytes) -> Refused:
    if isinstance(error, RecursionError):
        return refuse(400, "json_malformed", "The body is nested too deep; send a flatter one.")
    return refuse(400, "json_malformed", f"The body is not JSON: {_located(str(error), body)}.")


def _unknown_fields(document: Any, kind: type[Any]) -> list[Problem]:
    if not isinstance(document, dict):
        return []
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    names: list[str] = [name for name in document if name not in known]  # pyright: ignore[reportUnknownVariableType]
    return [_unknown_field(name, known) for name in names]


def _unknown_field(name: str, known: list[str]) -> Problem:
    close = nearest(name, known)
    hint = f"Did you mean {close!r}?" if close else f"Known fields: {', '.join(known)}."
    return Problem("unknown_field", f"/{name}", f"There is no field {name!r}. {hint}", hint)


def _misfit(error: str) -> Problem:
    message, _, where = error.partition(" - at `$")
    path = re.sub(r"\.|\[(\d+|\.\.\.)\]", lambda found: "/" + (found[1] or ""), where.rstrip("`"))
    place = f" at {path}" if path else ""
    return Problem("body_invalid", path, f"{message}{place}.", "Compare it with the schema in /openapi.json.")


def _located(error: str, body: bytes) -> str:
    """The decoder's message with its byte offset as line and column, which is what an editor shows."""
    found = re.search(r"\(byte (\d+)\)", error)
    offset = int(found[1]) if found else len(body)
    line = body.count(b"\n", 0, offset) + 1
    column = offset - (body.rfind(b"\n", 0, offset) + 1) + 1
    text = error[: found.start()].rstrip() if found else error
    return f"{text} (line {line}, column {column})"
