"""The shape of every error that this API sends: RFC 9457, with a stable code."""

from typing import Annotated

from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Meta

from station.contracts.problems import Problem
from station.contracts.wire import Wire

MEDIA_TYPE = "application/problem+json"
RESERVED = frozenset({"type", "title", "status", "detail", "code", "errors", "instance"})


class ProblemDocument(Wire):
    """What is wrong and what to do. Facts of the refusal, such as ``decision``, stand beside these members."""

    type: str
    """``urn:station:problem:<code>``."""
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    """The HTTP status. The status of a run that refuses is in ``currentStatus``."""
    detail: str
    code: str
    """Stable, machine-readable, such as ``run_ended``."""
    errors: tuple[Problem, ...] = ()
    idempotency_key: str | None = None
    """With 503: the key under which the request was sent, and may be sent again."""


IDEMPOTENCY_HEADER = ResponseHeader(
    name="Idempotency-Key", documentation_only=True, description="The key of the request, made here if none was sent."
)
_MEANINGS = {
    400: "The request is wrong; `errors` says where.",
    403: "Not allowed: by who asks, or by how the gateway was reached.",
    404: "There is no such thing.",
    405: "The path exists, but not with this method.",
    409: "It cannot be done in the present state, which the document names.",
    413: "The body is too large.",
    415: "The content type is not accepted here.",
    422: "The idempotency key was used for another request.",
    500: "A fault of the service; its log has the details.",
    503: "The scheduler does not answer, or a limit is reached; send the request again after `Retry-After`.",
}


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """The documented refusals of a route: those every route has, and the given ones."""
    return {
        status: ResponseSpec(
            ProblemDocument, description=_MEANINGS[status], media_type=MEDIA_TYPE, generate_examples=False
        )
        for status in sorted({400, 403, 500, 503, *statuses})
    }
