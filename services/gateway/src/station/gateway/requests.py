"""Reading a request: content types and bodies by our own strict rules, and no query parameter is ignored in silence."""

from typing import Any

from litestar import Request
from litestar.types import Empty

from station.contracts.headers import JSON
from station.contracts.problems import Problem
from station.gateway.bodies import decode_body
from station.gateway.nearest import nearest
from station.runtime.rpc import refuse

DOCUMENT_TYPES = (JSON, "application/yaml", "application/x-yaml", "text/yaml")
MAX_BODY_BYTES = 1024 * 1024


class StrictRequest(Request[Any, Any, Any]):
    """Decodes a JSON body straight into the struct that the handler asks for as ``data``."""

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
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found in accepted:
        return found
    what = f"The content type {found!r} is not accepted here." if found else "The content type is missing."
    raise refuse(415, "content_type_unsupported", f"{what} Send Content-Type: {' or '.join(accepted)}.")


def check_query(request: Request[Any, Any, Any], known: frozenset[str]) -> None:
    """Refuse query parameters that the route does not have (400): a typo must not widen a list."""
    names = sorted({name for name in request.query_params if name not in known})
    if not names:
        return
    errors = [_unknown_parameter(name, known) for name in names]
    raise refuse(400, "parameter_unknown", " ".join(problem.message for problem in errors), errors=errors)


def _unknown_parameter(name: str, known: frozenset[str]) -> Problem:
    close = nearest(name, known)
    some = f"It takes: {', '.join(sorted(known))}." if known else "It takes none."
    hint = f"Did you mean {close!r}?" if close else some
    message = f"This route has no query parameter {name!r}. {hint}"
    return Problem("parameter_unknown", f"query.{name}", message, hint)
