"""Finds the version of an agent that a run is bound to: loaded now, used before, or kept by the scheduler."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from station.agent_runner.agent import Agent
from station.agent_runner.backends.protocol import Misconfigured
from station.agent_runner.backends.registry import Backends
from station.agent_runner.catalog import Catalog
from station.agent_runner.failures import AttemptFailed, agent_error
from station.agent_runner.making import Source, bind, make_agent
from station.agent_runner.prompts import PromptError
from station.agent_runner.scheduler import Scheduler
from station.contracts import subjects
from station.contracts.agents import AgentVersion, GetVersion
from station.runtime.errors import Refused

KEPT = 256
"""Versions that are kept ready beside those that are loaded now."""


class Versions:
    """Agents by digest."""

    def __init__(self, root: Path, catalog: Callable[[], Catalog], backends: Backends, scheduler: Scheduler) -> None:
        self._root = root.absolute()
        self._catalog = catalog
        self._backends = backends
        self._scheduler = scheduler
        self._made: OrderedDict[str, Agent] = OrderedDict()

    async def find(self, environment: str, name: str, digest: str | None) -> Agent:
        """Give an agent in a version; without a digest, as it is loaded now.

        Raises:
            AttemptFailed: there is none, or it cannot be made here.
        """
        current = self._catalog().find(environment, name)
        if current is not None and digest in (None, current.summary.digest):
            return current
        if digest is None:
            raise no_such_agent(self._catalog(), environment, name)
        made = self._made.get(digest)
        if made is None:
            made = self._made[digest] = await self._make(name, digest)
            if len(self._made) > KEPT:
                self._made.popitem(last=False)
        else:
            self._made.move_to_end(digest)
        return made

    async def _make(self, name: str, digest: str) -> Agent:
        try:
            version = await self._scheduler.ask(subjects.RUNNER_VERSION, GetVersion(digest=digest), AgentVersion)
        except Refused as refused:
            raise agent_error(
                f"the run is bound to a version of agent {name!r} (digest {digest[:12]}…) that cannot be had:"
                f" {refused.failure.detail}",
                retryable=False,
            ) from refused
        source = Source(
            text=version.source,
            partials=version.partials,
            folder=self._root / version.environment,
            where=version.source_file,
        )
        try:
            agent = await make_agent(source, self._backends)
        except (PromptError, Misconfigured) as error:
            raise agent_error(
                f"the run is bound to a version of agent {name!r} that does not load here: {error}", retryable=False
            ) from error
        return bind(agent, digest, version.agents)


def no_such_agent(catalog: Catalog, environment: str, name: str) -> AttemptFailed:
    """Say that there is none of this name, and which there are."""
    known = ", ".join(catalog.names(environment)) or "none"
    return agent_error(
        f"there is no agent {name!r} in environment {environment!r} (agents there: {known}); "
        f"add environments/{environment}/agents/{name}.prompt, or correct the name",
        retryable=False,
    )
