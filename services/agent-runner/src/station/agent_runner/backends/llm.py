"""The backend of real models: OpenAI's and any server that speaks as it does, Anthropic's, Google's, Ollama's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

from station.agent_runner.backends.protocol import AgentCall, Answer, Misconfigured
from station.agent_runner.failures import agent_error
from station.agent_runner.late_import import late_import
from station.agent_runner.loop.config import model_settings, output_retries
from station.agent_runner.loop.equipment import Equipment
from station.agent_runner.loop.providers import PREFIXES, Providers

if TYPE_CHECKING:
    from station.agent_runner.loop.models import Models


class LlmOptions(Struct, frozen=True):
    """What an agent's file says of its model."""

    prefix: str
    name: str
    settings: dict[str, Any]
    output_retries: int


class LlmBackend:
    """Runs agents by their models."""

    prefixes: tuple[str, ...] = PREFIXES
    repeatable = False

    def __init__(self, providers: Providers, equipment: Equipment) -> None:
        self._providers = providers
        self._equipment = equipment
        self._models: Models | None = None

    def configure(self, front_matter: Mapping[str, Any], folder: Path) -> LlmOptions:
        """Read ``model``, ``config`` and ``output.retries``."""
        prefix, _, name = str(front_matter["model"]).partition("/")
        if not name:
            raise Misconfigured(f"`model` names no model of {prefix}: write `{prefix}/<model>`")
        settings = model_settings(front_matter.get("config") or {})
        return LlmOptions(prefix, name, settings, output_retries(front_matter))

    def not_configured(self, model: str) -> str | None:
        """What must be set before this model can be used; None if it can."""
        return self._providers.missing(model.partition("/")[0])

    def clean_up(self) -> None:
        """A model leaves nothing behind."""

    async def close(self) -> None:
        """Close the connections to providers."""
        if self._models is not None:
            await self._models.close()

    async def run(self, call: AgentCall) -> Answer:
        """Talk to the model until it has answered."""
        options: LlmOptions = call.agent.options
        missing = self._providers.missing(options.prefix)
        if missing is not None:
            raise agent_error(f"{call.agent.summary.model} cannot be used: {missing}", retryable=False)
        loop = await late_import("station.agent_runner.loop.run")
        models = await late_import("station.agent_runner.loop.models")
        if self._models is None:
            self._models = cast("Models", models.Models(self._providers))
        model = self._models.find(options.prefix, options.name)
        # Ollama holds its models to a schema itself, which small ones need; but then they call no tools.
        native = options.prefix == "ollama" and not call.agent.summary.tools and not call.agent.summary.agents
        manner = loop.Manner(settings=options.settings, output_retries=options.output_retries, native=native)
        return await loop.run_loop(call, model, manner, self._equipment)
