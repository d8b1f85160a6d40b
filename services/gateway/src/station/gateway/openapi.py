"""The OpenAPI document: made by Litestar from the handlers, then made to say exactly what the gateway does."""

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Litestar
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema, Tag

from station.gateway.bodies import Body
from station.gateway.documentation import docs_router, render_plugins
from station.gateway.requests import DOCUMENT_TYPES

_DESCRIPTION = (
    "A durable workflow engine for agents. Errors are RFC 9457 problem documents with a stable `code`. "
    "Lists answer `{items, nextCursor, total}`. Times are RFC 3339, UTC."
)
_TEXT: dict[str, Any] = {"type": "string"}


@dataclass
class DocumentOperation(Operation):
    """An operation whose body is a workflow definition, as YAML or JSON."""

    def __post_init__(self) -> None:
        schema = Schema(description="A workflow definition.")
        self.request_body = RequestBody(
            required=True, content={kind: OpenAPIMediaType(schema=schema) for kind in DOCUMENT_TYPES}
        )


def openapi_config() -> OpenAPIConfig:
    """What Litestar is told about the document and where its pages are."""
    return OpenAPIConfig(
        title="Station",
        version=version("station-gateway"),
        description=_DESCRIPTION,
        use_handler_docstrings=False,
        tags=[Tag(name=name) for name in ("Workflows", "Runs", "Approvals", "Agents", "Operations")],
        openapi_router=docs_router(),
        render_plugins=render_plugins(document_bytes),
    )


@lru_cache(maxsize=4)
def document(app: Litestar) -> dict[str, Any]:
    """The finished document of an application."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(app.openapi_schema.to_schema()))
    for operation in _operations(found):
        _finish(operation)
    for body in Body.__subclasses__():
        found["components"]["schemas"][body.__name__]["additionalProperties"] = False
    found["paths"] = {_camel(path): item for path, item in found["paths"].items()}
    return found


@lru_cache(maxsize=4)
def document_bytes(app: Litestar) -> bytes:
    return msgspec.json.encode(document(app))


@lru_cache(maxsize=4)
def query_types(app: Litestar) -> dict[str, dict[str, str | None]]:
    """The query parameters of each operation, by its id, with their JSON types; None for one of a few words."""
    return {
        operation["operationId"]: {
            parameter["name"]: parameter["schema"].get("type")
            for parameter in operation.get("parameters", ())
            if parameter["in"] == "query"
        }
        for operation in _operations(document(app))
    }


@lru_cache(maxsize=256)
def methods(app: Litestar, path_template: str) -> str:
    """What the path takes, as an Allow header has it."""
    found = document(app)["paths"].get(_camel(path_template), {})
    return ", ".join(sorted({method.upper() for method in found} | {"OPTIONS"}))


def _operations(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in found["paths"].values() for operation in path.values()]


def _finish(operation: dict[str, Any]) -> None:
    """Names in camelCase, and a type for every response header."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            parameter["name"] = _camel(parameter["name"])
        parameter["schema"] = _without_null(parameter["schema"])
    _finish_body(operation.get("requestBody"))
    for status, response in operation["responses"].items():
        headers = response.setdefault("headers", {})
        if status == "503":
            headers["Retry-After"] = {"schema": _TEXT, "description": "Seconds."}
        if status == "201":
            headers["Location"] = {"schema": _TEXT, "description": "Where it is."}
        for header in headers.values():
            header.setdefault("schema", _TEXT)


def _finish_body(body: dict[str, Any] | None) -> None:
    """What Litestar calls a body or null is, over HTTP, a body or none."""
    content: dict[str, Any] = body["content"].get("application/json", {}) if body else {}
    if body and content and "oneOf" in content["schema"]:
        body["required"] = False
        content["schema"] = _without_null(content["schema"])


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter or a body is there or not; there is no way to send a null."""
    choices = [choice for choice in schema.get("oneOf", ()) if choice != {"type": "null"}]
    if not choices:
        return schema
    rest = {name: value for name, value in schema.items() if name != "oneOf"}
    return {**rest, **choices[0]} if len(choices) == 1 else {**rest, "oneOf": choices}


def _camel(text: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), text)
