"""What a program that is an agent is asked, however it is reached: one JSON object."""

from typing import Any

from msgspec import Struct

from station.agent_runner.backends.protocol import AgentCall
from station.agent_runner.prompts import render


class ProgramInput(Struct, frozen=True, kw_only=True, rename="camel"):
    """One attempt, as JSON."""

    task: str | None
    variables: dict[str, Any]
    prompt: str
    """The body of the agent's file, rendered; media are left out of it."""
    agent: str
    environment: str
    run_id: str
    step_id: str
    attempt: int
    idempotency_key: str


async def program_input(call: AgentCall) -> ProgramInput:
    """Say what the program is asked in this attempt.

    Raises:
        ValueError: the body cannot be rendered with these variables.
    """
    return ProgramInput(
        task=call.task,
        variables=call.variables,
        prompt=await render(call.agent.prompt, call.task, call.variables),
        agent=call.agent.name,
        environment=call.agent.environment,
        run_id=call.run_id,
        step_id=call.step_id,
        attempt=call.attempt,
        idempotency_key=call.idempotency_key,
    )
