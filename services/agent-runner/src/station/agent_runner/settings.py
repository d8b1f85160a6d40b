"""What this service reads from the environment: each field from the variable STATION_<FIELD>."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one agent-runner process."""

    nats_url: str = "nats://127.0.0.1:4222"
    data_dir: Path = Path(".station")
    environments_dir: Path = Path("deploy/environments")
    runner_id: str | None = None
    runner_concurrency: Annotated[int, Meta(ge=1, le=10_000)] = 64
    max_output_bytes: Annotated[int, Meta(ge=1)] = 1 << 20
    shutdown_seconds: Annotated[float, Meta(ge=0)] = 5.0
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Meta(ge=0, le=65535)] = 0
    otlp_endpoint: str | None = None
    log_format: Literal["json", "console"] | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
