"""The catalog of agents: what a runner has loaded from its environments."""

from typing import Any

from station.contracts.bounds import Count
from station.contracts.problems import Problem
from station.contracts.wire import Wire


class AgentSummary(Wire):
    """One agent as its file describes it. Never carries values of secrets."""

    name: str
    environment: str
    model: str
    """``exec``, ``scripted``, ``openai/gpt-4o`` …"""
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    tools: tuple[str, ...] = ()
    source_file: str
    """Relative to the environments directory."""
    digest: str
    """sha256 hex of the file."""
    updated_at: str | None = None


class AnnounceRunner(Wire):
    """At a runner's start, and whenever its files change. Claims of its earlier boots are void from here."""

    runner: str
    boot: Count
    environments: tuple[str, ...]
    """Those it has read; agents of these that are not listed are gone."""
    agents: tuple[AgentSummary, ...]
    problems: tuple[Problem, ...] = ()
    """Files that could not be loaded; ``path`` is the file."""


class ListAgents(Wire):
    environment: str | None = None
    name: str | None = None


class AgentList(Wire):
    items: tuple[AgentSummary, ...]
    problems: tuple[Problem, ...] = ()
