"""The pages for people: the browsable API and the landing page. Everything on them comes from this process."""

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

from litestar import Litestar, MediaType, Request, Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.params import FromPath
from swagger_ui_bundle import swagger_ui_path

_OURS = files("station.gateway") / "pages"
_TYPES = {"js": "text/javascript", "css": "text/css", "png": "image/png", "svg": "image/svg+xml"}
_SHIPPED = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")
_OWN = ("docs.js", "landing.css")
_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; connect-src 'self'; "
LANDING_POLICY = _POLICY + "style-src 'self'; img-src 'self'"
DOCS_POLICY = _POLICY + "script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"

Document = Callable[[Litestar], bytes]


def docs_router() -> Router:
    """``/docs`` and its files; Litestar adds the page itself from the plugins."""
    policy = {"Content-Security-Policy": DOCS_POLICY}
    return Router("/docs", route_handlers=[asset], response_headers=policy, include_in_schema=False)


def render_plugins(document: Document) -> list[OpenAPIRenderPlugin]:
    return [_DocsPage(path="/"), _Json(document)]


class _DocsPage(OpenAPIRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return _file("docs.html")


class _Json(JsonRenderPlugin):
    def __init__(self, document: Document) -> None:
        super().__init__(path="/openapi.json")
        self._document = document

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return self._document(request.app)


@get("/", include_in_schema=False, media_type=MediaType.HTML)
async def landing() -> Response[bytes]:
    return Response(
        _file("landing.html"),
        media_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": LANDING_POLICY},
    )


@get("/assets/{name:str}")
async def asset(name: FromPath[str]) -> Response[bytes]:
    """A file of the pages. Raises NotFoundException for any name that is not in the table."""
    if name not in _SHIPPED and name not in _OWN:
        raise NotFoundException
    kind = _TYPES[name.rpartition(".")[2]]
    return Response(_file(name), media_type=kind, headers={"Cache-Control": "public, max-age=3600"})


@cache
def _file(name: str) -> bytes:
    return (swagger_ui_path / name if name in _SHIPPED else _OURS / name).read_bytes()
