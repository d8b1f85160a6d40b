"""The ``agent.run`` action: the checks around every backend, in their order.

The agent exists, its input is what its file asks for, it runs within its time, its output is what its file promises.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Protocol

import msgspec

from station.agent_runner.agent import Agent
from station.agent_runner.backends.protocol import AgentCall, Answer, Backend
from station.agent_runner.executors.protocol import Outcome
from station.agent_runner.failures import AttemptFailed, agent_error
from station.agent_runner.held import Held
from station.agent_runner.inputs import prepare
from station.agent_runner.metering import Meter
from station.agent_runner.outputs import interpret
from station.agent_runner.progress import SILENT, Progress
from station.agent_runner.record import span_of
from station.agent_runner.redaction import Redactor
from station.contracts.errors import ErrorType, StepError
from station.contracts.usage import Usage
from station.runtime.logging import get_logger

log = get_logger("agent_run")


class Agents(Protocol):
    """Where agents are found."""

    async def find(self, environment: str, name: str, digest: str | None) -> Agent:
        """Give an agent in a version; without a digest, as it is loaded now. Raises AttemptFailed."""
        ...


class Spend(Protocol):
    """Tells the scheduler what a metered attempt has used; the answer is why it may not go on, or None."""

    async def __call__(self, held: Held, used: Usage, /, *, tool: bool) -> str | None: ...


class Voices(Protocol):
    """Gives each attempt its voice; a quiet one says that it began only when it has more to say."""

    def __call__(self, held: Held, agent: str, /, *, quiet: bool) -> Progress: ...


class AgentRun:
    """Runs agents of the catalog."""

    action = "agent.run"
    span = "AgentExecute"

    def __init__(
        self,
        agents: Agents,
        *,
        max_output_bytes: int,
        spend: Spend | None = None,
        progress: Voices | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        self._agents = agents
        self._max_output_bytes = max_output_bytes
        self._spend = spend
        self._progress = progress
        self._redactor = redactor or Redactor()

    async def execute(self, held: Held) -> Outcome:
        """Run one attempt of an agent. Nothing in its outcome is a secret that is known."""
        outcome = await self._execute(held)
        if outcome.error is None:
            return self._without_secrets(outcome)
        error = msgspec.structs.replace(outcome.error, message=self._redactor.text(outcome.error.message))
        return msgspec.structs.replace(outcome, error=error)

    async def _execute(self, held: Held) -> Outcome:
        attributes: dict[str, Any] = {"agent_name": held.task.agent, "environment": held.task.environment}
        repeatable = False
        try:
            agent = await self._agents.find(held.task.environment, held.task.agent, held.task.digest)
            backend = _backend(agent)
            held.agent = agent.use
            attributes["agent_model"] = agent.summary.model
            repeatable = backend.repeatable
            call = self._call(agent, held, backend)
            output, size = await self._perform(call, backend, held.task.timeout_seconds)
        except AttemptFailed as failed:
            again = repeatable and held.meter.usage is None
            return Outcome(error=failed.error, repeatable=again, attributes=attributes)
        except Exception as error:
            log.exception("agent_crashed", run_id=held.task.run_id, step_id=held.task.step_id, agent=held.task.agent)
            message = f"running agent {held.task.agent!r} failed inside the runner: {type(error).__name__}: {error}"
            return Outcome(error=StepError(type=ErrorType.INTERNAL, message=message), attributes=attributes)
        # What called tools has touched something outside, whatever backend it was.
        again = repeatable and held.meter.usage is None
        return Outcome(output=output, size=size, repeatable=again, attributes=attributes)

    async def _perform(self, call: AgentCall, backend: Backend, seconds: float | None) -> tuple[Any, int]:
        name, ended = call.agent.name, "stopped"
        call.progress.say("started", agent=name)
        try:
            answer = await _in_time(backend, call, seconds)
            output = interpret(answer, call.agent, limit=self._max_output_bytes)
            ended = None
        except AttemptFailed as failed:
            ended = str(failed)
            raise
        except Exception as error:
            ended = f"{type(error).__name__}: {error}"
            raise
        finally:
            call.progress.say("finished", agent=name, text=ended, is_error=ended is not None)
        return output

    def _without_secrets(self, outcome: Outcome) -> Outcome:
        output = self._redactor.value(outcome.output)
        if output is outcome.output:
            return outcome
        return msgspec.structs.replace(outcome, output=output, size=len(msgspec.json.encode(output)))

    def _call(self, agent: Agent, held: Held, backend: Backend) -> AgentCall:
        task = held.task
        if self._spend is not None and task.metered:
            held.meter = Meter(task.budget, partial(self._spend, held), priced=task.priced)
        elif task.budget is not None:
            held.meter = Meter(task.budget, priced=task.priced)
        return AgentCall(
            agent=agent,
            task=task.task,
            variables=prepare(agent, task.task, task.variables),
            run_id=task.run_id,
            step_id=task.step_id,
            attempt=task.attempt,
            idempotency_key=task.idempotency_key,
            agent_run_id=held.claim.agent_run_id,
            max_output_bytes=self._max_output_bytes,
            timeout_seconds=task.timeout_seconds,
            meter=held.meter,
            progress=SILENT if self._progress is None else self._progress(held, agent.name, quiet=backend.repeatable),
            find=self._find_child,
            traceparent=span_of(held),
        )

    async def _find_child(self, parent: Agent, name: str) -> Agent:
        return await self._agents.find(parent.environment, name, parent.version.agents.get(name))


def _backend(agent: Agent) -> Backend:
    if agent.backend is None:
        raise agent_error(
            f"nothing in this runner runs the model {agent.summary.model!r} of agent {agent.name!r}; "
            f"change `model` in {agent.summary.source_file}",
            retryable=False,
        )
    return agent.backend


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
