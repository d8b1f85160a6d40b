"""Ports of this machine: free ones, taken ones, and one that stays the same across restarts."""

import socket
from pathlib import Path

from station.cli.errors import CommandError
from station.cli.supervisor.settings import LocalSettings


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def is_free(host: str, port: int) -> bool:
    """Whether a listener could be opened there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def stable_port(file: Path) -> int:
    """The port kept in the file, if it is still free; else a new one, kept there."""
    try:
        port = int(file.read_text())
        if 0 < port < 2**16 and is_free("127.0.0.1", port):
            return port
    except (OSError, ValueError):
        pass
    port = free_port()
    file.write_text(f"{port}\n")
    return port


def check_http_port(settings: LocalSettings) -> None:
    """Raises CommandError when the API's port is taken, saying by what as far as it shows."""
    if is_free(settings.http_host, settings.http_port):
        return
    who = "a Station answers there" if answers_as_station(settings.url) else "by another program"
    raise CommandError(
        f"port {settings.http_port} of {settings.http_host} is taken ({who})",
        where=settings.url,
        todo="stop it, or choose another port with --port or STATION_HTTP_PORT",
    )


def answers_as_station(url: str) -> bool:
    """Whether a Station's gateway is at the address."""
    import httpx

    try:
        return "gateway" in httpx.get(f"{url}/healthz", timeout=1, trust_env=False).text
    except httpx.HTTPError:
        return False
