"""Makes the models of providers. One HTTP client a provider and process, closed at the end."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx2
from pydantic_ai.models import Model, create_async_httpx2_client
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.ollama import OllamaModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.ollama import OllamaProvider
from pydantic_ai.providers.openai import OpenAIProvider

from station.agent_runner.loop.providers import Access, Providers

CONNECT_SECONDS = 10.0
NO_KEY = "none"
"""The client wants one; a server that needs none does not look at it."""


_WHOLE = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)
"""A stream that just ends may be half an answer, which nobody would notice."""


class Models:
    """The models that were asked for so far, by ``<provider>/<name>``."""

    def __init__(self, providers: Providers) -> None:
        self._providers = providers
        self._models: dict[str, Model] = {}
        self._clients: dict[str, httpx2.AsyncClient] = {}

    def find(self, prefix: str, name: str) -> Model:
        """Give a model of a provider that can be used: ask `Providers.missing` first."""
        full = f"{prefix}/{name}"
        if full not in self._models:
            self._models[full] = _model(prefix, name, self._providers.find(prefix), self._client(prefix))
        return self._models[full]

    async def close(self) -> None:
        """Close every connection."""
        clients, self._clients, self._models = self._clients, {}, {}
        for client in clients.values():
            await client.aclose()

    def _client(self, prefix: str) -> httpx2.AsyncClient:
        if prefix not in self._clients:
            timeout = httpx2.Timeout(self._providers.silence_seconds, connect=CONNECT_SECONDS)
            self._clients[prefix] = create_async_httpx2_client(timeout=timeout)
        return self._clients[prefix]


def _model(prefix: str, name: str, access: Access, client: httpx2.AsyncClient) -> Model:
    key, url = access.api_key, access.base_url
    match prefix:
        case "openai":
            server = OpenAIProvider(url, api_key=key or NO_KEY, http_client=client)
            return OpenAIChatModel(name, provider=server, profile=_WHOLE)
        case "ollama":
            local = OllamaProvider(_v1(url), api_key=key or NO_KEY, http_client=client)
            return OllamaModel(name, provider=local, profile=_WHOLE)
        case "anthropic":
            return AnthropicModel(name, provider=AnthropicProvider(api_key=key, base_url=url, http_client=client))
        case "google":
            return GoogleModel(name, provider=GoogleProvider(api_key=key, base_url=url, http_client=client))
        case _:
            message = f"no provider is known for the prefix {prefix!r}"
            raise ValueError(message)


def _v1(url: str | None) -> str | None:
    """An address of Ollama without a path means its OpenAI-compatible part."""
    return f"{url.rstrip('/')}/v1" if url and urlsplit(url).path in ("", "/") else url
