"""The scheduler's settings; every variable is described in ``station.runtime.environment``."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the scheduler can be told."""

    data_dir: Path = Path(".station")
    database_url: str | None = None
    environments_dir: Path = Path("deploy/environments")
    nats_url: str = "nats://127.0.0.1:4222"
    lease_seconds: Annotated[float, msgspec.Meta(gt=0)] = 15.0
    max_states: Positive = 10_000
    max_output_bytes: Positive = 1024 * 1024
    max_context_bytes: Positive = 8 * 1024 * 1024
    reconcile_seconds: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    evaluators: Annotated[int, msgspec.Meta(ge=1, le=16)] = 2
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    otlp_endpoint: str | None = None
    log_format: Literal["json", "console"] | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    shutdown_seconds: Annotated[float, msgspec.Meta(ge=0)] = 5.0
