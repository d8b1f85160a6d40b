"""The only place where failures and exceptions become HTTP: RFC 9457 problem documents."""

from collections.abc import Mapping
from enum import EnumMeta
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.enums import ParamType
from litestar.exceptions import HTTPException, ValidationException
from litestar.params import ParameterKwarg
from litestar.typing import FieldDefinition

from station.contracts.errors import Failure
from station.contracts.problems import Problem
from station.gateway.clients import StillUnavailable
from station.gateway.problem_document import MEDIA_TYPE, RESERVED
from station.runtime.errors import Refused, Unavailable
from station.runtime.logging import get_logger

log = get_logger("gateway.http")
RETRY_AFTER = "1"


class Rendered(msgspec.Struct, frozen=True):
    """A problem as it goes over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


def render(failure: Failure, headers: Mapping[str, str] | None = None) -> Rendered:
    """The document of a failure. Facts of its context become members, ``status`` among them as ``currentStatus``."""
    document: dict[str, Any] = {
        "type": f"urn:station:problem:{failure.code}",
        "title": failure.code.replace("_", " ").capitalize(),
        "status": failure.status,
        "detail": failure.detail,
        "code": failure.code,
        "errors": failure.errors,
    }
    for name, value in failure.context.items():
        document[f"current{name[:1].upper()}{name[1:]}" if name in RESERVED else name] = value
    found = dict(headers or {})
    if failure.status == HTTPStatus.SERVICE_UNAVAILABLE:
        found.setdefault("Retry-After", RETRY_AFTER)
    return Rendered(failure.status, found, msgspec.json.encode(document))


def to_response(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Whatever was raised while a request was answered, as a problem document."""
    key = request.headers.get("idempotency-key") if request.method == "POST" else None
    match error:
        case Refused():
            rendered = render(error.failure)
        case StillUnavailable():
            key = error.key or key
            rendered = render(_unavailable(error))
        case Unavailable():
            rendered = render(_unavailable(StillUnavailable(error.detail)))
        case ValidationException():
            rendered = render(_invalid(request, error))
        case HTTPException():
            rendered = render(_of_status(request, error.status_code), error.headers)
        case _:
            log.error("request_crashed", method=request.method, path=request.url.path, exc_info=error)
            rendered = render(_internal())
    headers = {**rendered.headers, "Idempotency-Key": key} if key else rendered.headers
    return Response(rendered.body, status_code=rendered.status, headers=headers, media_type=MEDIA_TYPE)


def _unavailable(error: StillUnavailable) -> Failure:
    context = {"idempotencyKey": error.key} if error.key else {}
    if error.key:
        advice = "Whether it was carried out is unknown. Send it again with this Idempotency-Key: it is done once only."
    elif error.repeatable:
        advice = "Send it again."
    else:
        advice = "Whether it was carried out is unknown: look before you send it again."
    return Failure(code="unavailable", detail=f"{error.detail} {advice}", status=503, context=context)


def _internal() -> Failure:
    return Failure(code="internal", detail="The gateway failed to answer; its log says why.", status=500)


def _of_status(request: Request[Any, Any, Any], status: int) -> Failure:
    path = request.url.path
    details = {
        400: ("request_invalid", "The request cannot be read."),
        404: ("route_not_found", f"There is nothing at {path}; /openapi.json lists every path."),
        405: ("method_not_allowed", f"{path} does not take {request.method}; the Allow header says what it takes."),
        413: ("body_too_large", "The body is larger than 1 MiB, the most that is accepted."),
    }
    code, detail = details.get(status, ("http_error", HTTPStatus(status).phrase))
    return Failure(code=code, detail=detail, status=status)


def _invalid(request: Request[Any, Any, Any], error: ValidationException) -> Failure:
    fields = request.route_handler.parsed_fn_signature.parameters
    extra: list[dict[str, str]] = error.extra if isinstance(error.extra, list) else []
    errors = tuple(_of_parameter(fields.get(found.get("key", "")), found) for found in extra)
    if not errors:  # a required parameter is missing: the message says which
        return Failure(code="parameter_invalid", detail=error.detail, status=400)
    detail = " ".join(problem.message for problem in errors)
    return Failure(code=errors[0].code, detail=detail, status=400, errors=errors)


def _of_parameter(field: FieldDefinition | None, found: dict[str, str]) -> Problem:
    name, message = found.get("key", ""), found["message"]
    if name == "data":
        return Problem("body_missing", "", "A JSON body is needed.", "Send one, with Content-Type: application/json.")
    kwarg = field.kwarg_definition if field else None
    source = found.get("source") or (kwarg.param_type if isinstance(kwarg, ParameterKwarg) else ParamType.QUERY)
    if isinstance(kwarg, ParameterKwarg):
        name = kwarg.name or name
    elif source == ParamType.HEADER:  # of a dependency, whose parameters the handler does not have
        name = name.replace("_", "-").title()
    place = ParamType(source).value
    return Problem("parameter_invalid", f"{place}.{name}", f"{place} parameter {name}: {message}.", _choices(field))


def _choices(field: FieldDefinition | None) -> str | None:
    for kind in (field, *(field.inner_types if field else ())):
        if kind and isinstance(kind.annotation, EnumMeta):
            members: list[Any] = list(kind.annotation)
            return "One of: " + ", ".join(str(member.value) for member in members) + "."
    return None
