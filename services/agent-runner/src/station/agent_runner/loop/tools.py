"""The tools of one attempt: of MCP servers, and agents that are called as tools.

The rule: arguments are checked before a call, calls are counted before they are made, and each carries a key that is
the same when the attempt is executed again. What goes wrong with a tool is told to the model.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import UNSET, Struct
from opentelemetry.trace import SpanKind
from pydantic_ai import RunContext
from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool
from pydantic_core import SchemaValidator, core_schema

from station.agent_runner.agent import Agent
from station.agent_runner.backends.protocol import AgentCall
from station.agent_runner.failures import AttemptFailed, agent_error
from station.agent_runner.loop.children import arguments_of, call_child
from station.agent_runner.loop.equipment import Equipment
from station.agent_runner.loop.talk import Talk
from station.agent_runner.mcp.allowed import AllowedTool, allowed_tools
from station.agent_runner.mcp.calling import call_tool, told, unavailable
from station.agent_runner.mcp.servers import McpServers
from station.agent_runner.mcp.tool import McpUnavailable
from station.contracts.errors import ErrorType
from station.core.schemas import SchemaError, Validator, compile_schema, violations

SAFE_NAME = 64
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_ANY_OBJECT = SchemaValidator(core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema()))


class Tool(Struct, frozen=True, kw_only=True):
    """One tool as a model sees it."""

    name: str
    """As people write it."""
    description: str
    parameters: dict[str, Any]
    """JSON Schema of an object."""
    validator: Validator | None
    call: Callable[[dict[str, Any], str, str | None], Awaitable[Any]]
    """Takes arguments, the number of the call, and the traceparent of its span."""


def safe_name(name: str) -> str:
    """A name as providers take it: 64 letters, digits, ``-`` and ``_``; what differs stays different."""
    safe = _UNSAFE.sub("_", name)
    if safe == name and len(name) <= SAFE_NAME:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{safe[: SAFE_NAME - 7]}_{mark}"


async def tools_of(call: AgentCall, equipment: Equipment) -> dict[str, Tool]:
    """Give the tools that an agent has, by the names that its model uses.

    Raises:
        AttemptFailed: a server of its tools, or an agent that it calls, cannot be had.
    """
    tools = [await _child_tool(call, name) for name in call.agent.summary.agents]
    agent = call.agent
    if agent.summary.tools or agent.mcp_servers:
        if equipment.servers is None:
            raise agent_error(f"agent {agent.name!r} has tools, and this runner has no MCP servers", retryable=False)
        try:
            allowed = await allowed_tools(equipment.servers, agent)
        except McpUnavailable as error:
            raise unavailable(error) from error
        tools += [_mcp_tool(call, found, equipment.servers) for found in allowed]
    return {safe_name(tool.name): tool for tool in tools}


class Tools(AbstractToolset[object]):
    """The tools of one attempt, as the model library takes them."""

    def __init__(self, call: AgentCall, tools: dict[str, Tool], talk: Talk, equipment: Equipment) -> None:
        self._call = call
        self._tools = tools
        self._talk = talk
        self._equipment = equipment

    @property
    def id(self) -> str | None:
        """There is one set only."""
        return None

    async def get_tools(self, ctx: RunContext[object]) -> dict[str, ToolsetTool[object]]:
        """All of them, in every turn."""
        return {
            name: ToolsetTool(
                toolset=self,
                tool_def=ToolDefinition(
                    name=name, description=tool.description, parameters_json_schema=tool.parameters
                ),
                max_retries=ctx.max_retries,
                args_validator=_ANY_OBJECT,
            )
            for name, tool in self._tools.items()
        }

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[object], tool: ToolsetTool[object]
    ) -> Any:
        """Make one call. Raises ToolFailed for what the model is told, AttemptFailed for the end of the attempt."""
        used = self._tools[name]
        number = self._talk.number(ctx.tool_call_id)
        if used.validator is not None and not used.validator.is_valid(tool_args):
            problems = violations(used.validator, tool_args)
            words = "; ".join(f"{problem.path or 'the whole'}: {problem.message}" for problem in problems)
            said = f"the arguments break the schema of {used.name}: {words}; nothing was called"
            with told(self._call, used.name, number, tool_args):
                raise ToolFailed(said)
        with self._equipment.spans.open(
            f"execute_tool {used.name}",
            self._talk.traceparent,
            SpanKind.INTERNAL,
            operation="execute_tool",
            tool=used.name,
            tool_call_id=ctx.tool_call_id,
        ) as span:
            span.content(arguments=tool_args)
            result = await used.call(tool_args, number, span.inside)
            span.content(result=result)
        return result


def _mcp_tool(call: AgentCall, found: AllowedTool, servers: McpServers) -> Tool:
    async def use(arguments: dict[str, Any], number: str, traceparent: str | None) -> Any:
        inside = msgspec.structs.replace(call, traceparent=traceparent)
        try:
            result = await call_tool(servers, inside, found.server, found.tool.name, arguments, number=number)
        except AttemptFailed as failed:
            if failed.error.type is not ErrorType.TOOL_ERROR or not failed.error.retryable:
                raise
            # The server was lost: it is started anew, and asked once more with the same key.
            call.progress.say("retry", agent=call.agent.name, tool=found.name, text=failed.error.message)
            result = await call_tool(servers, inside, found.server, found.tool.name, arguments, number=number)
        if result.is_error:
            raise ToolFailed(result.text or f"{found.name} failed, and does not say why")
        return result.text if result.structured is UNSET else result.structured

    schema = found.tool.input_schema
    return Tool(
        name=found.name,
        description=found.tool.description,
        parameters={"type": "object", **schema},
        validator=_validator(schema),
        call=use,
    )


async def _child_tool(call: AgentCall, name: str) -> Tool:
    if call.find is None:
        raise agent_error(f"agent {call.agent.name!r} cannot call agents here", retryable=False)
    child = await call.find(call.agent, name)

    async def use(arguments: dict[str, Any], number: str, traceparent: str | None) -> Any:
        await call.meter.before_call(tool=True)
        with told(call, name, number, arguments) as ending:
            result = await call_child(call, child, arguments, number, traceparent)
            ending.came(result)
        return result

    return Tool(
        name=name,
        description=_child_words(child),
        parameters=arguments_of(child),
        validator=_validator(arguments_of(child)),
        call=use,
    )


def _child_words(child: Agent) -> str:
    return child.summary.description or f"The agent {child.name}."


def _validator(schema: dict[str, Any]) -> Validator | None:
    """Of a schema that somebody else wrote: one that cannot be used is left to them."""
    try:
        return compile_schema(msgspec.json.decode(msgspec.json.encode(schema)))
    except SchemaError:
        return None
