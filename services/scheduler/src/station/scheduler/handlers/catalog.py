"""The catalog of agents: what runners have announced, per environment. Stored, so that it outlives restarts."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from station.contracts.agents import AgentList, AgentSummary, AnnounceRunner, ListAgents
from station.contracts.problems import Problem
from station.core.instants import to_text
from station.core.loading import AgentInfo
from station.core.program import Program
from station.runtime.rpc import RpcContext
from station.scheduler.engine.engine import NotStored
from station.scheduler.handlers import refusals
from station.scheduler.store.reader import Reader
from station.scheduler.store.writer import Unit, Writer

_AGENTS = "SELECT environment, summary FROM agents ORDER BY environment, name"
_ENVIRONMENTS = "SELECT environment, problems FROM environments"
_PUT_AGENT = """
INSERT INTO agents (environment, name, summary, announced_by, updated_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (environment, name) DO UPDATE SET summary = excluded.summary, announced_by = excluded.announced_by,
    updated_at = excluded.updated_at
"""
_DROP_AGENTS = "DELETE FROM agents WHERE environment = ? AND name NOT IN (SELECT value FROM json_each(?))"
_PUT_ENVIRONMENT = """
INSERT INTO environments (environment, announced_by, problems, updated_at) VALUES (?, ?, ?, ?)
ON CONFLICT (environment) DO UPDATE SET announced_by = excluded.announced_by, problems = excluded.problems,
    updated_at = excluded.updated_at
"""


class Catalog:
    """Agents by environment and name."""

    def __init__(self, writer: Writer, now: Callable[[], int]) -> None:
        self._writer = writer
        self._now = now
        self._agents: dict[str, dict[str, AgentSummary]] = {}
        self._problems: dict[str, tuple[Problem, ...]] = {}
        self.on_change: Callable[[], None] = lambda: None

    async def load(self, reader: Reader) -> None:
        """Take up what was announced before."""
        for environment, problems in await reader.rows(_ENVIRONMENTS):
            self._agents[environment] = {}
            self._problems[environment] = msgspec.json.decode(problems, type=tuple[Problem, ...])
        for environment, summary in await reader.rows(_AGENTS):
            agent = msgspec.json.decode(summary, type=AgentSummary)
            self._agents.setdefault(environment, {})[agent.name] = agent

    async def announce(self, request: AnnounceRunner) -> None:
        """Take what a runner has loaded; agents of its environments that it does not name are gone."""
        now, unit = self._now(), Unit()
        found: dict[str, dict[str, AgentSummary]] = {environment: {} for environment in request.environments}
        for agent in request.agents:
            stamped = msgspec.structs.replace(agent, updated_at=self._stamp(agent, now))
            found.setdefault(agent.environment, {})[agent.name] = stamped
        problems = {name: tuple(p for p in request.problems if p.path.startswith(f"{name}/")) for name in found}
        if all(self._agents.get(n) == found[n] and self._problems.get(n) == problems[n] for n in found):
            return
        for environment, agents in found.items():
            names = msgspec.json.encode(list(agents)).decode()
            unit.add(_DROP_AGENTS, (environment, names))
            for agent in agents.values():
                text = msgspec.json.encode(agent).decode()
                unit.add(_PUT_AGENT, (environment, agent.name, text, request.runner, now))
            listed = msgspec.json.encode(problems[environment]).decode()
            unit.add(_PUT_ENVIRONMENT, (environment, request.runner, listed, now))
        try:
            await self._writer.submit(unit)
        except Exception as error:
            raise refusals.not_stored(NotStored(str(error))) from error
        self._agents.update(found)
        self._problems.update(problems)
        self.on_change()

    def infos(self, environment: str) -> dict[str, AgentInfo] | None:
        """Give the agents of an environment for validation; None if no runner has announced it."""
        agents = self._agents.get(environment)
        if agents is None:
            return None
        return {agent.name: _info(agent) for agent in agents.values()}

    def named_in(self, environment: str) -> dict[str, AgentInfo] | None:
        """Give `infos` and with them the agents of all environments as a definition names them: `name@environment`."""
        own = self.infos(environment)
        if own is None:
            return None
        everywhere = (agent for agents in self._agents.values() for agent in agents.values())
        return {f"{agent.name}@{agent.environment}": _info(agent) for agent in everywhere} | own

    def bind(self, program: Program, environment: str) -> dict[str, str]:
        """Give the digest of every agent that a definition names, by the name it has there.

        A start whose agents are not there is refused: before the run exists, not in the middle of it.
        """
        problems: list[Problem] = []
        digests: dict[str, str] = {}
        for name in sorted(program.agents):
            agent, _, elsewhere = name.partition("@")
            place = elsewhere or environment
            known = self._agents.get(place)
            if known is None:
                raise refusals.invalid(
                    "environment_not_found",
                    f"No runner has announced the environment {place!r}. Known: {self._listed(self._agents)}."
                    " Is the agent-runner up, and is there a folder of that name in STATION_ENVIRONMENTS_DIR?",
                )
            if agent in known:
                digests[name] = known[agent].digest
            else:
                problems.append(
                    Problem(
                        "agent_not_found",
                        "/environment",
                        f"There is no agent {agent!r} in the environment {place!r}.",
                        f"Known there: {self._listed(known)}.",
                    )
                )
        if problems:
            raise refusals.invalid(
                "agent_not_found", " ".join(problem.message for problem in problems), tuple(problems)
            )
        return digests

    async def list(self, request: ListAgents, _: RpcContext) -> AgentList:
        """Show agents, of one environment or all, by one name or all."""
        chosen = [
            agent
            for environment, agents in sorted(self._agents.items())
            if request.environment in (None, environment)
            for agent in sorted(agents.values(), key=lambda agent: agent.name)
            if request.name in (None, agent.name)
        ]
        problems = [p for name, found in self._problems.items() if request.environment in (None, name) for p in found]
        return AgentList(items=tuple(chosen), problems=tuple(problems))

    def _stamp(self, agent: AgentSummary, now: int) -> str:
        known = self._agents.get(agent.environment, {}).get(agent.name)
        return (
            known.updated_at
            if known is not None and known.digest == agent.digest and known.updated_at
            else to_text(now)
        )

    def _listed(self, names: dict[str, object] | dict[str, AgentSummary] | dict[str, dict[str, AgentSummary]]) -> str:
        return ", ".join(sorted(names)[:20]) or "none"


def _info(agent: AgentSummary) -> AgentInfo:
    return AgentInfo(
        name=agent.name,
        input_schema=agent.input_schema,
        output_schema=agent.output_schema,
        defaults=agent.defaults,
    )
