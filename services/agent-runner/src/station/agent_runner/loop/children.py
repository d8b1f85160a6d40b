"""An agent that another one calls as a tool: the checks are those of every agent, the budget is the caller's."""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic_ai.exceptions import ToolFailed

from station.agent_runner.agent import Agent
from station.agent_runner.backends.protocol import AgentCall
from station.agent_runner.failures import AttemptFailed
from station.agent_runner.inputs import prepare
from station.agent_runner.outputs import interpret
from station.contracts.actions import TASK_NAMES
from station.contracts.errors import ErrorType

MAX_DEPTH = 5
"""Agents below each other; the step's own is the first."""
TASK_ONLY: dict[str, Any] = {
    "type": "object",
    "properties": {"task": {"type": "string", "description": "What the agent is to do."}},
    "required": ["task"],
    "additionalProperties": False,
}


def arguments_of(child: Agent) -> dict[str, Any]:
    """The schema of the tool's arguments: that of the agent's input, or a task."""
    schema = child.summary.input_schema
    return TASK_ONLY if schema is None else {"type": "object", **schema}


async def call_child(
    call: AgentCall, child: Agent, arguments: dict[str, Any], number: str, traceparent: str | None
) -> Any:
    """Run an agent inside of the attempt of another.

    Raises:
        ToolFailed: it failed; its caller is told why.
        AttemptFailed: a budget is used up.
    """
    if call.depth + 1 >= MAX_DEPTH:
        raise ToolFailed(f"Agents may call each other {MAX_DEPTH} deep, and {child.name!r} would be one more.")
    if child.backend is None:
        raise ToolFailed(f"Nothing in this runner runs the model {child.summary.model!r} of agent {child.name!r}.")
    ended: str | None = "stopped"
    call.progress.say("started", agent=child.name)
    try:
        inner = _inner(call, child, arguments, number, traceparent)
        output, _ = interpret(await child.backend.run(inner), child, limit=call.max_output_bytes)
        ended = None
    except AttemptFailed as failed:
        ended = failed.error.message
        if failed.error.type is ErrorType.BUDGET_EXCEEDED:
            raise
        raise ToolFailed(f"{failed.error.type}: {ended}") from failed
    finally:
        call.progress.say("finished", agent=child.name, text=ended, is_error=ended is not None)
    return output


def _inner(call: AgentCall, child: Agent, arguments: dict[str, Any], number: str, traceparent: str | None) -> AgentCall:
    task = next((arguments[name] for name in TASK_NAMES if isinstance(arguments.get(name), str)), None)
    variables = {} if child.summary.input_schema is None else arguments
    return msgspec.structs.replace(
        call,
        agent=child,
        task=task,
        variables=prepare(child, task, variables),
        # The key of the call, so that a program which is called twice knows the second time.
        idempotency_key=f"{call.idempotency_key}:{number}",
        depth=call.depth + 1,
        traceparent=traceparent,
    )
