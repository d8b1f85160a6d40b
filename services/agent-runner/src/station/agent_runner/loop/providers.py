"""Whose models can be used here: keys and addresses, which come from settings and never from files."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

PREFIXES = ("openai", "anthropic", "google", "ollama")


class Access(Struct, frozen=True, kw_only=True):
    """How one provider is reached."""

    api_key: str | None = None
    base_url: str | None = None
    """None: the provider's own."""


class Providers(Struct, frozen=True, kw_only=True):
    """How all of them are reached."""

    openai: Access = Access()
    anthropic: Access = Access()
    google: Access = Access()
    ollama: Access = Access()
    silence_seconds: float = 300.0
    """How long a model may send nothing."""

    def find(self, prefix: str) -> Access:
        """The access of one of `PREFIXES`."""
        accesses: Mapping[str, Access] = {
            "openai": self.openai,
            "anthropic": self.anthropic,
            "google": self.google,
            "ollama": self.ollama,
        }
        return accesses[prefix]

    def missing(self, prefix: str) -> str | None:
        """What must be set before models of a provider can be used; None if they can."""
        access = self.find(prefix)
        if access.api_key or (prefix == "openai" and access.base_url):
            return None
        if prefix == "ollama":
            return None if access.base_url else "set STATION_OLLAMA_BASE_URL, such as http://127.0.0.1:11434/v1"
        server = ", or STATION_OPENAI_BASE_URL to a server that needs no key" if prefix == "openai" else ""
        return f"set STATION_{prefix.upper()}_API_KEY{server}"
