"""The gateway's settings, read once at the start. All are described in ``station.runtime.environment``."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

import msgspec

SERVICE = "gateway"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    data_dir: Path = Path(".station")
    nats_url: str = "nats://127.0.0.1:4222"
    http_host: str = "127.0.0.1"
    http_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8585
    allowed_hosts: str | None = None
    """Names under which it answers, with commas; None: on a loopback address only loopback names, else any."""
    request_seconds: Annotated[float, msgspec.Meta(gt=0, le=120)] = 10.0
    """How long a command is repeated while the scheduler does not answer."""
    max_streams: Annotated[int, msgspec.Meta(ge=1)] = 500
    otlp_endpoint: str | None = None
    log_format: Literal["json", "console"] | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    shutdown_seconds: Annotated[float, msgspec.Meta(gt=0)] = 5.0


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine can reach this address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def answered_hosts(settings: Settings) -> frozenset[str] | None:
    """The host names that requests may carry, in lower case; None: any."""
    if settings.allowed_hosts:
        return frozenset(name.strip().lower() for name in settings.allowed_hosts.split(",") if name.strip())
    if is_loopback(settings.http_host):
        return frozenset({"localhost", "127.0.0.1", "::1", settings.http_host.lower()})
    return None
