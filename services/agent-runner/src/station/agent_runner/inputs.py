"""What an agent is given: the workflow's variables, its file's defaults, and the task where its schema asks for it."""

from typing import Any

from station.agent_runner.agent import Agent
from station.agent_runner.failures import bad_input
from station.contracts.actions import TASK_NAMES
from station.core.schemas import violations


def prepare(agent: Agent, task: str | None, variables: dict[str, Any]) -> dict[str, Any]:
    """The variables as the agent gets them.

    Raises:
        AttemptFailed: they break the agent's input schema.
    """
    given = {**agent.defaults, **variables}
    schema = agent.summary.input_schema
    if task is not None and schema is not None:
        asked: dict[str, Any] = schema.get("properties") or {}
        given.update({name: task for name in TASK_NAMES if name in asked and name not in variables})
    if agent.input_validator is not None and not agent.input_validator.is_valid(given):
        problems = violations(agent.input_validator, given)
        words = "; ".join(f"{problem.path or 'variables'}: {problem.message}" for problem in problems)
        raise bad_input(
            f"the variables for agent {agent.name!r} break its input schema: {words}; "
            f"correct `input.variables` of the state, or `input.schema` in {agent.summary.source_file}"
        )
    return given
