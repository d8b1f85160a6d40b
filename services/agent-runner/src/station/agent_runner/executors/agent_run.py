"""The ``agent.run`` action: the checks around every backend, in their order.

The agent exists, its input is what its file asks for, it runs within its time, its output is what its file promises.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from station.agent_runner.agent import Agent
from station.agent_runner.backends.protocol import AgentCall, Answer, Backend
from station.agent_runner.catalog import Catalog
from station.agent_runner.executors.protocol import Outcome
from station.agent_runner.failures import AttemptFailed, agent_error
from station.agent_runner.held import Held
from station.agent_runner.inputs import prepare
from station.agent_runner.outputs import interpret
from station.contracts.errors import ErrorType, StepError
from station.contracts.work import StepTask
from station.runtime.logging import get_logger

log = get_logger("agent_run")


class AgentRun:
    """Runs agents of the catalog."""

    action = "agent.run"
    span = "AgentExecute"

    def __init__(self, catalog: Callable[[], Catalog], *, max_output_bytes: int) -> None:
        self._catalog = catalog
        self._max_output_bytes = max_output_bytes

    async def execute(self, held: Held) -> Outcome:
        """Run one attempt of an agent."""
        attributes: dict[str, Any] = {"agent_name": held.task.agent, "environment": held.task.environment}
        repeatable = False
        try:
            agent, backend = _find(self._catalog(), held.task)
            attributes["agent_model"] = agent.summary.model
            repeatable = backend.repeatable
            call = _call(agent, held, self._max_output_bytes)
            answer = await _in_time(backend, call, held.task.timeout_seconds)
            output, size = interpret(answer, agent, limit=self._max_output_bytes)
        except AttemptFailed as failed:
            return Outcome(error=failed.error, repeatable=repeatable, attributes=attributes)
        except Exception as error:
            log.exception("agent_crashed", run_id=held.task.run_id, step_id=held.task.step_id, agent=held.task.agent)
            message = f"running agent {held.task.agent!r} failed inside the runner: {type(error).__name__}: {error}"
            return Outcome(error=StepError(type=ErrorType.INTERNAL, message=message), attributes=attributes)
        return Outcome(output=output, size=size, repeatable=repeatable, attributes=attributes)


def _find(catalog: Catalog, task: StepTask) -> tuple[Agent, Backend]:
    agent = catalog.find(task.environment, task.agent)
    if agent is None:
        known = ", ".join(catalog.names(task.environment)) or "none"
        raise agent_error(
            f"there is no agent {task.agent!r} in environment {task.environment!r} (agents there: {known}); "
            f"add environments/{task.environment}/agents/{task.agent}.prompt, or correct the name",
            retryable=False,
        )
    if agent.backend is None:
        raise agent_error(
            f"nothing in this runner runs the model {agent.summary.model!r} of agent {task.agent!r}; "
            f"change `model` in {agent.summary.source_file}",
            retryable=False,
        )
    return agent, agent.backend


def _call(agent: Agent, held: Held, max_output_bytes: int) -> AgentCall:
    task = held.task
    return AgentCall(
        agent=agent,
        task=task.task,
        variables=prepare(agent, task.task, task.variables),
        run_id=task.run_id,
        step_id=task.step_id,
        attempt=task.attempt,
        idempotency_key=task.idempotency_key,
        agent_run_id=held.claim.agent_run_id,
        max_output_bytes=max_output_bytes,
    )


async def _in_time(backend: Backend, call: AgentCall, seconds: float | None) -> Answer:
    clock = asyncio.timeout(seconds)
    try:
        async with clock:
            return await backend.run(call)
    except TimeoutError as error:
        if not clock.expired():
            raise  # the backend's own, not that of the step
        message = f"agent {call.agent.name!r} did not answer within {seconds:g} s and was stopped"
        raise AttemptFailed(StepError(type=ErrorType.TIMEOUT, message=message)) from error
