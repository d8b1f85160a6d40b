"""The agents that runners have loaded from their environments."""

from typing import Annotated

import msgspec
from litestar import Controller, get
from litestar.params import QueryParameter

from station.contracts import subjects
from station.contracts.agents import AgentList, AgentSummary, ListAgents
from station.contracts.problems import Problem
from station.contracts.wire import Wire
from station.gateway.clients import RpcClient
from station.gateway.injected import Id
from station.gateway.problem_document import problems
from station.gateway.requests import StrictRequest
from station.runtime.rpc import refuse

DEFAULT_ENVIRONMENT = "default"
Environment = Annotated[str | None, QueryParameter(max_length=256, description="Only agents of this environment.")]


class AgentPage(Wire):
    """All agents at once, in the shape of every other list."""

    items: tuple[AgentSummary, ...]
    next_cursor: str | None = None
    total: int
    problems: tuple[Problem, ...] = ()
    """Agent files that could not be loaded."""


class Agents(Controller):
    path = "/agents"
    tags = ["Agents"]

    @get("/", operation_id="listAgents", summary="List agents", responses=problems())
    async def list_agents(self, request: StrictRequest, environment: Environment = None) -> AgentPage:
        found = await _find(request.services, ListAgents(environment=environment))
        return AgentPage(items=found.items, total=len(found.items), problems=found.problems)

    @get("/{name:str}", operation_id="getAgent", summary="Show an agent", responses=problems(404))
    async def show(self, name: Id, request: StrictRequest, environment: Environment = None) -> AgentSummary:
        found = (await _find(request.services, ListAgents(name=name, environment=environment))).items
        if not found:
            where = f" in the environment {environment!r}" if environment else ""
            detail = f"No runner has loaded an agent {name!r}{where}; GET /api/v1/agents lists those it has."
            raise refuse(404, "agent_not_found", detail)
        return min(found, key=lambda agent: (agent.environment != DEFAULT_ENVIRONMENT, agent.environment))


async def _find(services: RpcClient, question: ListAgents) -> AgentList:
    return msgspec.json.decode(await services.query(subjects.QUERY_AGENTS, question), type=AgentList)
