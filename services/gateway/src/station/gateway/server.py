"""The listening socket and uvicorn on it, stopped by our own signal and never longer than the streams allow."""

import contextlib
import errno
import socket
from collections.abc import Generator

import uvicorn
from litestar.types import ASGIApp

from station.gateway.connection import Connection
from station.runtime.errors import StationError

_GRACE_SECONDS = 2
_BACKLOG = 2048


def bind(host: str, port: int) -> socket.socket:
    """A listening socket on this address; port 0 takes any free one.

    Raises:
        StationError: the port is taken, or the address is not this machine's; says what to do.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, proto)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)  # from here on clients wait instead of being turned away
    except OSError as error:
        raise StationError(_why(error, host, port)) from error
    listening.setblocking(False)  # noqa: FBT003 - the signature is the socket module's
    return listening


def url_of(listening: socket.socket) -> str:
    """Where the socket can be reached from this machine."""
    host, port = str(listening.getsockname()[0]), int(listening.getsockname()[1])
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


class Server(uvicorn.Server):
    """Uvicorn without its own signal handlers: `stop` ends it."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,  # pyright: ignore[reportArgumentType] - the two describe the same protocol
                loop="none",
                http=Connection,
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    def stop(self) -> None:
        self.should_exit = True


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is taken by another program, perhaps another Station. "
            "Stop it, or choose another port with STATION_HTTP_PORT (0: any free one)."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} needs rights that this user lacks. Choose one above 1023 with STATION_HTTP_PORT."
    return f"Cannot listen on {host}:{port}: {error}. Check STATION_HTTP_HOST and STATION_HTTP_PORT."
