"""What approval-service reads from the environment: one struct, loaded once at start and passed down."""

from pathlib import Path
from typing import Literal

import msgspec

SERVICE = "approval-service"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One field per ``STATION_…`` variable."""

    nats_url: str = "nats://127.0.0.1:4222"
    data_dir: Path = Path(".station")
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    log_format: Literal["json", "console"] | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
