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
    """sha256 hex of all that makes the agent what it is: its file, the partials it uses, the agents it may call."""
    updated_at: str | None = None
    agents: tuple[str, ...] = ()
    """Agents that it may call as tools."""
    max_steps: int | None = None
    """Most requests to its model in one attempt."""
    defaults: tuple[str, ...] = ()
    """Variables that have a value of its own where a step gives none."""


class AgentVersion(Wire):
    """Everything to make an agent anew as it was: a run stays with the version that it began with."""

    digest: str
    environment: str
    name: str
    source_file: str
    source: str
    """The text of its file."""
    partials: dict[str, str] = {}
    """Text by name."""
    agents: dict[str, str] = {}
    """Digest by name, of the agents it may call."""


class AnnounceRunner(Wire):
    """At a runner's start, and whenever its files change. Claims of its earlier boots are void from here."""

    runner: str
    boot: Count
    environments: tuple[str, ...]
    """Those it has read; agents of these that are not listed are gone."""
    agents: tuple[AgentSummary, ...]
    problems: tuple[Problem, ...] = ()
    """Files that could not be loaded; ``path`` is the file."""


class Announced(Wire):
    """The announcement is committed."""

    missing: tuple[str, ...] = ()
    """Digests of announced agents whose versions are not stored yet: send them, a part at a time."""


class KeepVersions(Wire):
    """Versions that the scheduler misses."""

    versions: tuple[AgentVersion, ...]


class GetVersion(Wire):
    """A runner is to run a version that it does not have; answered with `AgentVersion`, or 404."""

    digest: str


class ListAgents(Wire):
    environment: str | None = None
    name: str | None = None


class AgentList(Wire):
    items: tuple[AgentSummary, ...]
    problems: tuple[Problem, ...] = ()
