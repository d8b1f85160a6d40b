"""What this service reads from the environment: each field from the variable STATION_<FIELD>."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from station.agent_runner.loop.providers import Access, Providers
from station.runtime.settings import load


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
    trace_content: bool = False
    openai_api_key: str | None = None
    openai_base_url: str | None = None
    anthropic_api_key: str | None = None
    anthropic_base_url: str | None = None
    google_api_key: str | None = None
    google_base_url: str | None = None
    ollama_api_key: str | None = None
    ollama_base_url: str | None = None
    model_silence_seconds: Annotated[float, Meta(gt=0)] = 300.0
    prices_file: Path | None = None
    log_format: Literal["json", "console"] | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"


VENDORS = {
    "openai_api_key": ("OPENAI_API_KEY",),
    "openai_base_url": ("OPENAI_BASE_URL",),
    "anthropic_api_key": ("ANTHROPIC_API_KEY",),
    "anthropic_base_url": ("ANTHROPIC_BASE_URL",),
    "google_api_key": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
    "ollama_api_key": ("OLLAMA_API_KEY",),
    "ollama_base_url": ("OLLAMA_BASE_URL",),
}
"""The names that the providers' own tools read; they hold where ours are not set."""


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings, keys and addresses of models also from the names that their providers use. Raises SettingsError."""
    settings = load(Settings, environ)
    found = {
        field: environ[name].strip()
        for field, names in VENDORS.items()
        for name in reversed(names)
        if getattr(settings, field) is None and environ.get(name, "").strip()
    }
    return msgspec.structs.replace(settings, **found)


def providers_of(settings: Settings) -> Providers:
    """Whose models can be used, as the settings say."""
    return Providers(
        openai=Access(api_key=settings.openai_api_key, base_url=settings.openai_base_url),
        anthropic=Access(api_key=settings.anthropic_api_key, base_url=settings.anthropic_base_url),
        google=Access(api_key=settings.google_api_key, base_url=settings.google_base_url),
        ollama=Access(api_key=settings.ollama_api_key, base_url=settings.ollama_base_url),
        silence_seconds=settings.model_silence_seconds,
    )
