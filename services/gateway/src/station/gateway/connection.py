"""One client's connection: uvicorn's, with a limit on heads, and refusals that are problem documents like others."""

from __future__ import annotations

from typing import Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from station.contracts.errors import Failure
from station.gateway.http_problems import Rendered, render
from station.gateway.problem_document import MEDIA_TYPE

MAX_HEAD_BYTES: Final = 64 * 1024
"""Of a request that is not a body. A head that comes in one piece may have as much as the loop reads at once."""
_TOO_LARGE: Final = render(
    Failure(
        code="head_too_large",
        detail=f"Request line and headers have more than {MAX_HEAD_BYTES // 1024} KiB; send fewer or shorter ones.",
        status=431,
    )
)
_NO_HTTP: Final = render(
    Failure(code="request_malformed", detail="This is not a request of HTTP/1.1; the connection is closed.", status=400)
)
_REASONS: Final = {400: b"Bad Request", 431: b"Request Header Fields Too Large"}


class Connection(HttpToolsProtocol):
    """A connection that reads heads, trailers and the sizes of chunks only up to a limit: the parser has none.

    It would keep what never ends in memory, and put it together anew with every packet.
    """

    _unread = 0
    """Bytes since the last end of a head, of a message or of a piece of a body."""

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless more than the limit has come that is neither a body nor whole."""
        self._unread += len(data)
        super().data_received(data)
        if self._unread > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._unread = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body came."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._unread = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser does not understand."""
        self._refuse(_NO_HTTP)

    def _refuse(self, refusal: Rendered) -> None:
        """Answer and close; only close when the answer to a request of this connection is under way."""
        if not self._answering():
            head = (
                b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n"
                b"x-content-type-options: nosniff\r\n\r\n"
            )
            values = (refusal.status, _REASONS[refusal.status], MEDIA_TYPE.encode(), len(refusal.body))
            self.transport.write(head % values + refusal.body)
        self.transport.close()

    def _answering(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # none before the first request
        return cycle is not None and cycle.response_started and not cycle.response_complete
