"""Which tools an agent may use: names and patterns of its file, and what the servers have.

A name is ``<server>__<tool>``; both parts may be patterns with ``*``, ``?`` and ``[…]``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from msgspec import Struct

from station.agent_runner.agent import Agent
from station.agent_runner.mcp.servers import McpServers
from station.agent_runner.mcp.tool import SEPARATOR, Tool, full_name
from station.contracts.problems import Problem
from station.core.findings import near_names

TOOL_MODEL = "tool/"
_WILD = frozenset("*?[")
_SHOWN = 10


class AllowedTool(Struct, frozen=True):
    """A tool, and the server that has it."""

    server: str
    tool: Tool

    @property
    def name(self) -> str:
        """As agents write it."""
        return full_name(self.server, self.tool.name)


class Checked(Struct, frozen=True, kw_only=True):
    """What came out for one agent."""

    problems: tuple[Problem, ...] = ()
    usable: bool = True
    """False: it names what is not there."""
    servers: frozenset[str] = frozenset()
    """Those it may use tools of."""


def patterns_of(agent: Agent) -> tuple[str, ...]:
    """All that an agent's file says about tools."""
    model = agent.summary.model
    own = (model.removeprefix(TOOL_MODEL),) if model.startswith(TOOL_MODEL) else ()
    return (*own, *agent.summary.tools, *(full_name(server, "*") for server in agent.mcp_servers))


async def allowed_tools(servers: McpServers, agent: Agent) -> tuple[AllowedTool, ...]:
    """Give the tools that an agent may use now, each once, in the order of its patterns.

    Raises:
        McpUnavailable: a server that it names cannot be had.
    """
    environment, patterns = agent.environment, patterns_of(agent)
    usable = servers.configured(environment).servers
    names = sorted({name for pattern in patterns for name in _asked(pattern, usable)})
    listed = dict(zip(names, await asyncio.gather(*(servers.tools(environment, name) for name in names)), strict=True))
    found = {
        allowed.name: allowed for pattern in patterns for name in names for allowed in _matching(pattern, name, listed)
    }
    return tuple(found.values())


def covers(pattern: str, name: str) -> bool:
    """Whether a full name, of a tool that need not be there, is among those that a pattern stands for."""
    wanted, _, tool_pattern = pattern.partition(SEPARATOR)
    server, separator, tool = name.partition(SEPARATOR)
    return bool(separator) and fnmatchcase(server, wanted) and fnmatchcase(tool, tool_pattern)


def check_tools(servers: McpServers, agent: Agent) -> Checked:
    """Compare what an agent's file says with what is known of the servers now; nobody is asked."""
    problems: list[Problem] = []
    usable = True
    used: set[str] = set()
    for pattern in patterns_of(agent):
        names = _servers_of(pattern, servers.configured(agent.environment).names)
        problem, harmless = _problem(servers, agent, pattern, names)
        if problem is not None:
            problems.append(problem)
            usable = usable and harmless
        used |= names
    return Checked(problems=tuple(dict.fromkeys(problems)), usable=usable, servers=frozenset(used))


def _problem(servers: McpServers, agent: Agent, pattern: str, names: set[str]) -> tuple[Problem | None, bool]:
    """What is wrong with one name or pattern, and whether the agent can be used all the same."""
    environment, file = agent.environment, agent.summary.source_file
    configured = servers.configured(environment)
    server, separator, _ = pattern.partition(SEPARATOR)
    if not separator:
        message = f"agent {agent.name!r} names the tool {pattern!r} without its server"
        hint = f"write <server>{SEPARATOR}<tool>; {_there_are('server', configured.names)}"
        return Problem("unknown_tool", file, message, hint), False
    if not names:
        message = f"agent {agent.name!r} uses {pattern!r}, but environment {environment!r} has no MCP server {server!r}"
        near = near_names(server, configured.names)
        hint = f"did you mean {near[0]!r}?" if near else _there_are("server", configured.names)
        return Problem("unknown_server", file, message, hint), False
    if not _is_wild(server) and (why := configured.unusable.get(server)) is not None:
        message = f"agent {agent.name!r} uses {pattern!r}, but the MCP server {server!r} cannot be used: {why}"
        return Problem("mcp_server_unavailable", file, message, "steps that use it fail until that is corrected"), True
    return _unknown_tool(servers, agent, pattern, names), False


def _unknown_tool(servers: McpServers, agent: Agent, pattern: str, names: set[str]) -> Problem | None:
    listed = {name: servers.known_tools(agent.environment, name) for name in names}
    known = {name: tools for name, tools in listed.items() if tools is not None}
    if any(_matching(pattern, name, known) for name in known) or len(known) < len(listed):
        return None
    have = [full_name(name, tool.name) for name, tools in known.items() for tool in tools]
    what = "matches no tool" if _is_wild(pattern) else "is no tool"
    message = f"agent {agent.name!r} uses {pattern!r}, which {what} of {', '.join(sorted(names))}"
    near = near_names(pattern, have)
    hint = f"did you mean {near[0]!r}?" if near else _there_are("tool", have)
    return Problem("unknown_tool", agent.summary.source_file, message, hint)


def _servers_of(pattern: str, names: Iterable[str]) -> set[str]:
    server, separator, _ = pattern.partition(SEPARATOR)
    return {name for name in names if separator and fnmatchcase(name, server)}


def _asked(pattern: str, usable: Iterable[str]) -> set[str]:
    """A server that is named outright is asked in any case: it says itself why it cannot be used."""
    server, separator, _ = pattern.partition(SEPARATOR)
    return {server} if separator and not _is_wild(server) else _servers_of(pattern, usable)


def _matching(pattern: str, server: str, listed: dict[str, tuple[Tool, ...]]) -> list[AllowedTool]:
    wanted, _, tool_pattern = pattern.partition(SEPARATOR)
    if not fnmatchcase(server, wanted):
        return []
    return [AllowedTool(server, tool) for tool in listed.get(server, ()) if fnmatchcase(tool.name, tool_pattern)]


def _is_wild(text: str) -> bool:
    return not _WILD.isdisjoint(text)


def _there_are(what: str, names: Sequence[str]) -> str:
    shown = ", ".join(sorted(names)[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return f"there are these {what}s: {shown}" if names else f"there is no {what}"
