"""Reading a request: content types and bodies by our own strict rules, and no query parameter is ignored in silence."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from litestar import Request
from litestar.types import Empty

from station.contracts.headers import JSON
from station.contracts.problems import Problem
from station.gateway.bodies import decode_body
from station.gateway.clients import RpcClient
from station.gateway.nearest import nearest
from station.runtime.rpc import refuse

DOCUMENT_TYPES = (JSON, "application/yaml", "application/x-yaml", "text/yaml")
MAX_BODY_BYTES = 1024 * 1024
SERVICES = "services"


class StrictRequest(Request[Any, Any, Any]):
    """Decodes a JSON body straight into the struct that the handler asks for as ``data``."""

    @property
    def services(self) -> RpcClient:
        """The way to the other services. No dependency: of two of them each is resolved in a task of its own."""
        return self.app.state[SERVICES]

    async def json(self) -> Any:
        """The body as the handler's struct. Raises Refused: 415, 400."""
        if self._json is Empty:
            require_content_type(self, (JSON,))
            field = self.route_handler.parsed_data_field
            assert field is not None
            kinds = [kind.annotation for kind in field.inner_types] if field.is_union else [field.annotation]
            struct = next(kind for kind in kinds if kind is not type(None))
            self._json = decode_body(await self.body(), struct)
        return self._json


def require_content_type(request: Request[Any, Any, Any], accepted: tuple[str, ...]) -> str:
    """The content type, in lower case and without parameters. Raises Refused (415) when it is none of ``accepted``."""
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        raise refuse(
            415, "content_coding_unsupported", f"The content coding {coding!r} is not accepted. Send plain text."
        )
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found in accepted:
        return found
    what = f"The content type {found!r} is not accepted here." if found else "The content type is missing."
    raise refuse(415, "content_type_unsupported", f"{what} Send Content-Type: {' or '.join(accepted)}.")


def check_query(request: Request[Any, Any, Any], known: Mapping[str, str | None]) -> None:
    """Refuse query parameters that the route does not have, or not so (400): a typo must not widen a list.

    ``known``: their JSON types by name.
    """
    given: list[tuple[str, str]] = list(request.query_params.multi_items())
    counts = Counter(name for name, _ in given)
    errors = [_unknown_parameter(name, known.keys()) for name in sorted(counts) if name not in known]
    errors += [_repeated(name) for name, count in sorted(counts.items()) if count > 1 and known.get(name) != "array"]
    # The decoder would take the word for "not given" where no text is wanted.
    errors += [_null(name) for name, value in given if value == "null" and known.get(name) not in ("string", "array")]
    if errors:
        raise refuse(400, errors[0].code, " ".join(problem.message for problem in errors), errors=errors)


def _repeated(name: str) -> Problem:
    return Problem("parameter_invalid", f"query.{name}", f"query parameter {name} may be given once.", "Keep one.")


def _null(name: str) -> Problem:
    return Problem("parameter_invalid", f"query.{name}", f"query parameter {name} is null.", "Leave it out.")


def _unknown_parameter(name: str, known: Collection[str]) -> Problem:
    close = nearest(name, known)
    some = f"It takes: {', '.join(sorted(known))}." if known else "It takes none."
    hint = f"Did you mean {close!r}?" if close else some
    message = f"This route has no query parameter {name!r}. {hint}"
    return Problem("parameter_unknown", f"query.{name}", message, hint)
