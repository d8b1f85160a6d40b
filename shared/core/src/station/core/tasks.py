"""The work of one attempt as a runner gets it: exactly what the author wrote, nothing of the context is added."""

from __future__ import annotations

from typing import Any

import msgspec

from station.contracts.actions import AgentRunInput
from station.contracts.work import StepTask
from station.core.definition import Operation
from station.core.identity import idempotency_key
from station.core.program import Program
from station.core.run import Run, Step
from station.core.spending import left, total
from station.core.turn import Turn


def step_task(turn: Turn, step: Step) -> StepTask:
    """Give the task of an ``agent.run`` attempt of the turn's run."""
    return task_of(turn.program, turn.run, step)


def task_of(program: Program, run: Run, step: Step) -> StepTask:
    """Give the task of an ``agent.run`` attempt."""
    state = program.scopes[step.scope.places].states[step.state_name]
    limits = state.budget if isinstance(state, Operation) else None
    wanted = msgspec.convert(step.input, AgentRunInput)
    name, _, environment = wanted.agent.partition("@")
    return StepTask(
        run_id=run.run_id,
        step_id=step.step_id,
        attempt=step.attempt,
        workflow_id=run.workflow_id,
        state_name=step.state_name,
        environment=environment or run.environment,
        agent=name,
        task=_text(wanted.task),
        variables=wanted.variables,
        timeout_seconds=smaller(
            wanted.timeout_seconds, state.timeout_seconds if isinstance(state, Operation) else None
        ),
        idempotency_key=idempotency_key(run.run_id, step.step_id, step.attempt),
        digest=run.agents.get(wanted.agent),
        budget=None if limits is None else left(limits, total(step.spent, step.usage)),
        metered=program.definition.budget is not None,
        priced=any(each is not None and each.max_cost_usd is not None for each in (limits, program.definition.budget)),
    )


def smaller(one: float | None, other: float | None) -> float | None:
    """Give the smaller of two limits, None being no limit."""
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


def _text(task: Any) -> str | None:
    if task is None or isinstance(task, str):
        return task
    return msgspec.json.encode(task).decode()
