"""The ``tool`` backend: ``model: tool/<server>__<tool>`` is one call of a tool of an MCP server, with no model at all.

The rule: what is sent has passed the tool's own input schema, so that a tool is never bothered with nonsense.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

from msgspec import UNSET, Struct

from station.agent_runner.backends.protocol import AgentCall, Answer, Misconfigured
from station.agent_runner.failures import AttemptFailed, bad_input, tool_error
from station.agent_runner.mcp.allowed import TOOL_MODEL
from station.agent_runner.mcp.calling import call_tool, check_arguments, unavailable
from station.agent_runner.mcp.servers import McpServers
from station.agent_runner.mcp.tool import SEPARATOR, McpUnavailable, Tool, full_name
from station.core.context import MissingPathError, lookup
from station.core.findings import near_names
from station.core.templates import RenderedTooLargeError, TemplateError, paths_in, render

ONLY_CALL = "1"


class ToolOptions(Struct, frozen=True, kw_only=True):
    """Which tool, and what it is given."""

    server: str
    tool: str
    arguments: dict[str, Any] | None = None
    """With ``{{paths}}`` into the variables and the task; None: the variables as they are."""


class ToolBackend:
    """Calls tools."""

    prefixes: tuple[str, ...] = ("tool",)
    repeatable = False

    def __init__(self, servers: McpServers) -> None:
        self._servers = servers

    def configure(self, front_matter: Mapping[str, Any], folder: Path) -> ToolOptions:
        """Read the tool's name in ``model``, and ``arguments``."""
        server, separator, tool = str(front_matter.get("model")).removeprefix(TOOL_MODEL).partition(SEPARATOR)
        if not server or not separator or not tool:
            raise Misconfigured(f"`model` must be `{TOOL_MODEL}<server>{SEPARATOR}<tool>` to call a tool")
        arguments: object = front_matter.get("arguments")
        if arguments is None:
            return ToolOptions(server=server, tool=tool)
        if not isinstance(arguments, dict):
            raise Misconfigured("`arguments` must be an object: the tool's arguments by name")
        templates = cast("dict[str, Any]", arguments)
        try:
            list(paths_in(templates))
        except TemplateError as error:
            raise Misconfigured(f"`arguments`: {error}") from error
        return ToolOptions(server=server, tool=tool, arguments=templates)

    def clean_up(self) -> None:
        """Programs of servers end with the runner that started them."""

    async def run(self, call: AgentCall) -> Answer:
        """Call the tool of one attempt."""
        options: ToolOptions = call.agent.options
        arguments = _arguments(call, options)
        check_arguments(options.server, await self._tool(call, options), arguments)
        result = await call_tool(self._servers, call, options.server, options.tool, arguments, number=ONLY_CALL)
        if result.is_error:
            raise tool_error(f"tool {full_name(options.server, options.tool)!r} failed: {result.text or 'no reason'}")
        return Answer(result.text) if result.structured is UNSET else Answer(value=result.structured)

    async def _tool(self, call: AgentCall, options: ToolOptions) -> Tool:
        try:
            tools = await self._servers.tools(call.agent.environment, options.server)
        except McpUnavailable as error:
            raise unavailable(error) from error
        found = next((tool for tool in tools if tool.name == options.tool), None)
        if found is None:
            raise _no_such_tool(options, [tool.name for tool in tools])
        return found


def _arguments(call: AgentCall, options: ToolOptions) -> dict[str, Any]:
    if options.arguments is None:
        return call.variables
    known = [{"task": call.task, "userInput": call.task, **call.variables}]
    try:
        return render(options.arguments, partial(lookup, known), limit=call.max_output_bytes)
    except (MissingPathError, RenderedTooLargeError) as error:
        where = call.agent.summary.source_file
        raise bad_input(f"the arguments for tool {options.tool!r} in {where} cannot be filled: {error}") from error


def _no_such_tool(options: ToolOptions, names: list[str]) -> AttemptFailed:
    near = near_names(options.tool, names)
    meant = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(sorted(names)) or 'none'}"
    message = f"MCP server {options.server!r} has no tool {options.tool!r}; {meant}"
    return tool_error(message, retryable=False)
