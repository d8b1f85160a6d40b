"""An agent as it was loaded from its file. Frozen: a changed file makes a new agent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from station.contracts.agents import AgentSummary, AgentVersion
from station.contracts.usage import AgentUse

if TYPE_CHECKING:
    from dotpromptz import PromptFunction

    from station.agent_runner.backends.protocol import Backend
    from station.core.schemas import Validator


class Agent(Struct, frozen=True, kw_only=True):
    """What the file says, checked and compiled."""

    summary: AgentSummary
    version: AgentVersion
    """All that it was made from."""
    folder: Path
    """The environment's folder, absolute."""
    prompt: PromptFunction[Any]
    defaults: dict[str, Any] = {}
    """``input.default``: variables that hold where the workflow gives none."""
    input_validator: Validator | None = None
    output_validator: Validator | None = None
    backend: Backend | None = None
    """None: nothing here serves its model; it is listed, and running it fails."""
    options: Any = None
    """What its backend read in the file."""
    config: dict[str, Any] = {}
    """What the file says to the model: ``temperature`` and the like."""
    mcp_servers: tuple[str, ...] = ()
    """MCP servers all of whose tools it may use, beside those that ``summary.tools`` names."""
    promises_json: bool = False
    """The answer must be JSON, with or without a schema."""
    remarks: tuple[str, ...] = ()
    """What in the file nobody reads."""
    takes_history: bool = False
    """Whether the body has a place for what was said before."""

    @property
    def name(self) -> str:
        """The name that workflows use."""
        return self.summary.name

    @property
    def environment(self) -> str:
        """The environment it belongs to."""
        return self.summary.environment

    @property
    def use(self) -> AgentUse:
        """As a result names it."""
        summary = self.summary
        return AgentUse(name=summary.name, environment=summary.environment, model=summary.model, digest=summary.digest)
