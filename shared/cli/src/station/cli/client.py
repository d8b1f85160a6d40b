"""The API as the commands see it: typed answers, and every refusal as an error that a person can act on.

A request that changes something carries an idempotency key, so that it may be sent again when the answer was lost.
"""

import time
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
import msgspec

from station.cli.errors import USAGE, CommandError, RefusedRequest, Unreachable
from station.contracts.problems import Problem

T = TypeVar("T")
Params = Mapping[str, str | int | bool | None]

PREFIX = "/api/v1"
USER_HEADER = "x-station-user"
ATTEMPTS = 4
OK, UNAVAILABLE = 200, 503
CONNECT_SECONDS, READ_SECONDS, STREAM_READ_SECONDS = 3.0, 15.0, 45.0


class ProblemDocument(msgspec.Struct, rename="camel"):
    """The members of RFC 9457 that are shown, all of them optional because anything may answer on a port."""

    code: str = "unknown"
    detail: str = ""
    title: str = ""
    errors: tuple[Problem, ...] = ()


class Api:
    """A connection to one Station as one user."""

    def __init__(
        self,
        url: str,
        user: str,
        teams: tuple[str, ...] = (),
        *,
        user_is_guessed: bool = False,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """``url`` is scheme, host and port, without a path.

        A guessed user (the name at this machine, that nobody asked to be) is left out where no names are believed.
        """
        self.url = url.rstrip("/")
        self._user_is_guessed = user_is_guessed and not teams
        headers = {USER_HEADER: _header(user)} | ({"x-station-teams": _header(",".join(teams))} if teams else {})
        timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        # Loopback by default, and a name somebody typed otherwise: a proxy from the environment would be a surprise.
        with self._reaching():
            self._http = httpx.Client(
                base_url=self.url, headers=headers, timeout=timeout, transport=transport, trust_env=False
            )

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def get(self, path: str, answer: type[T], params: Params | None = None) -> T:
        """The decoded answer.

        Raises:
            RefusedRequest: Station says no.
            Unreachable: nobody answers.
        """
        return self._send("GET", path, answer, params=params)

    def post(self, path: str, answer: type[T], body: Any = None, *, key: str | None = None) -> T:
        """Ask for a change; sent again with the same key while Station is busy. Raises as ``get``."""
        if key is not None and (not key or not _is_printable(key)):
            raise CommandError(
                f"{key!r} cannot be an idempotency key", todo="use letters, digits and signs", exit_code=USAGE
            )
        content = msgspec.json.encode({} if body is None else body)
        headers = {"content-type": "application/json", "idempotency-key": key or uuid.uuid4().hex}
        return self._send("POST", path, answer, content=content, headers=headers)

    def send_document(self, method: str, path: str, answer: type[T], document: bytes, content_type: str) -> T:
        """Send a definition as it is written. Raises as ``get``."""
        return self._send(method, path, answer, content=document, headers={"content-type": content_type})

    def delete(self, path: str) -> None:
        """Raises as ``get``."""
        self._send("DELETE", path, type(None))

    @contextmanager
    def stream(self, path: str, last_event_id: int) -> Generator[Iterator[str]]:
        """The lines of a server-sent event stream that goes on after ``last_event_id``. Raises as ``get``."""
        headers = {"accept": "text/event-stream", "last-event-id": str(last_event_id)}
        timeout = httpx.Timeout(STREAM_READ_SECONDS, connect=CONNECT_SECONDS)
        with (
            self._reaching(),
            self._http.stream("GET", PREFIX + path, headers=headers, timeout=timeout) as response,
        ):
            if response.status_code != OK:
                response.read()
                raise _refused(response)
            yield response.iter_lines()

    def is_ready(self) -> bool:
        """Whether this address answers ``/readyz`` with 200."""
        try:
            return self._http.get("/readyz", timeout=CONNECT_SECONDS).status_code == OK
        except httpx.HTTPError:
            return False

    def _send(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        params: Params | None = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> T:
        given = {name: value for name, value in (params or {}).items() if value is not None}
        repeatable = method == "GET" or (headers is not None and "idempotency-key" in headers)
        attempt = 1
        while True:
            with self._reaching():
                response = self._http.request(method, PREFIX + path, params=given, content=content, headers=headers)
                if response.is_success:
                    return self._decode(response, answer)
            refused = _refused(response)
            if self._drops_user(refused):
                continue
            if response.status_code != UNAVAILABLE or not repeatable or attempt == ATTEMPTS:
                raise refused
            attempt += 1
            time.sleep(_retry_after(response))

    def _drops_user(self, refused: RefusedRequest) -> bool:
        """Whether the request may go again, without the name that nobody gave."""
        if refused.code != "identity_unproven" or not self._user_is_guessed or USER_HEADER not in self._http.headers:
            return False
        del self._http.headers[USER_HEADER]
        return True

    def _decode(self, response: httpx.Response, answer: type[T]) -> T:
        if answer is type(None):
            return answer()
        try:
            return msgspec.json.decode(response.content, type=answer)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise CommandError(
                f"the answer is not one of Station's ({error})",
                where=f"{response.request.method} {response.request.url}",
                todo="check with --url that this is Station's address, and that `stn version` fits the server",
            ) from error

    @contextmanager
    def _reaching(self) -> Generator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise Unreachable(self.url, _words(error)) from error
        except httpx.InvalidURL as error:
            raise CommandError(
                f"{self.url} is not an address ({error})", todo="write it as http://host:port", exit_code=USAGE
            ) from error


def _header(text: str) -> str:
    if not _is_printable(text):
        todo = "use letters, digits and . _ @ - only"
        raise CommandError(f"{text!r} cannot be sent as a name", todo=todo, exit_code=USAGE)
    return text


def _is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _words(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.ConnectError) and "refused" in str(error):
        return "connection refused"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__


def _retry_after(response: httpx.Response) -> float:
    try:
        return min(max(float(response.headers.get("retry-after", "1")), 0.1), 3.0)
    except ValueError:
        return 1.0


def _refused(response: httpx.Response) -> RefusedRequest:
    try:
        document = msgspec.json.decode(response.content, type=ProblemDocument)
    except msgspec.MsgspecError:
        document = ProblemDocument(detail=response.text.strip()[:200])
    return RefusedRequest(
        status=response.status_code,
        code=document.code,
        detail=document.detail or document.title or response.reason_phrase,
        request=f"{response.request.method} {response.request.url.path}",
        errors=document.errors,
    )
