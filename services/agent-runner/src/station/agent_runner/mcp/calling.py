"""One call of a tool by an agent: allowed by the meter, told to whoever watches, and marked for the server."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

from msgspec import UNSET

from station.agent_runner.backends.protocol import AgentCall
from station.agent_runner.failures import bad_input, tool_error
from station.agent_runner.mcp.servers import McpServers
from station.agent_runner.mcp.tool import McpUnavailable, NotConfigured, Tool, ToolResult, full_name
from station.core.schemas import SchemaError, compile_schema, violations

KEY = "station/idempotencyKey"
RUN = "station/runId"
STEP = "station/stepId"
TRACEPARENT = "traceparent"


class Ending:
    """How a call of a tool ended; nothing else is known until it has."""

    def __init__(self) -> None:
        self.said: Any = "stopped"
        self.is_error = True

    def came(self, result: Any, *, is_error: bool = False) -> None:
        """Note what was answered."""
        self.said, self.is_error = result, is_error


@contextlib.contextmanager
def told(call: AgentCall, tool: str, number: str, arguments: dict[str, Any]) -> Generator[Ending]:
    """Tell whoever watches of a call, and of its end: also of one that was cancelled."""
    ending = Ending()
    agent = call.agent.name
    call.progress.say("tool_call", agent=agent, tool=tool, call_id=number, arguments=arguments)
    try:
        yield ending
    except Exception as error:
        ending.came(str(error), is_error=True)
        raise
    finally:
        call.progress.say(
            "tool_result", agent=agent, tool=tool, call_id=number, result=ending.said, is_error=ending.is_error
        )


async def call_tool(
    servers: McpServers, call: AgentCall, server: str, tool: str, arguments: dict[str, Any], *, number: str
) -> ToolResult:
    """Call a tool for an agent. ``number`` is that of the call in its attempt, the same when that is executed again.

    Raises:
        AttemptFailed: a budget is used up, or the server cannot be had; not for what the tool itself says.
    """
    await call.meter.before_call(tool=True)
    with told(call, full_name(server, tool), number, arguments) as ending:
        try:
            result = await servers.call(call.agent.environment, server, tool, arguments, meta=_meta(call, number))
        except McpUnavailable as error:
            raise unavailable(error) from error
        ending.came(result.text if result.structured is UNSET else result.structured, is_error=result.is_error)
    return result


def unavailable(error: McpUnavailable) -> Exception:
    """A server that cannot be had, as the end of the attempt; settings do not mend themselves, servers may."""
    return tool_error(str(error), retryable=not isinstance(error, NotConfigured))


def check_arguments(server: str, tool: Tool, arguments: dict[str, Any]) -> None:
    """Compare arguments with what the tool takes. A schema that cannot be used is the server's business.

    Raises:
        AttemptFailed: they break the tool's input schema.
    """
    with contextlib.suppress(SchemaError):
        problems = violations(compile_schema(tool.input_schema), arguments)
        if problems:
            words = "; ".join(f"{problem.path or 'arguments'}: {problem.message}" for problem in problems)
            raise bad_input(f"the arguments for tool {full_name(server, tool.name)!r} break its input schema: {words}")


def _meta(call: AgentCall, number: str) -> dict[str, Any]:
    meta = {KEY: f"{call.idempotency_key}:{number}", RUN: call.run_id, STEP: call.step_id}
    return meta if call.traceparent is None else {**meta, TRACEPARENT: call.traceparent}
