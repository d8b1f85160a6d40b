"""Which executor does which action: the one table that a new action is added to."""

from station.agent_runner.executors.agent_run import AgentRun, Agents, Spend, Voices
from station.agent_runner.executors.protocol import Executor
from station.agent_runner.redaction import Redactor
from station.contracts.work import StepTask


class Executors:
    """The executors of one runner process, by action."""

    def __init__(self, *executors: Executor) -> None:
        self._by_action = {executor.action: executor for executor in executors}

    def find(self, task: StepTask) -> Executor:
        """The executor of a task. Every step task of contract v1 is an ``agent.run``."""
        return self._by_action[AgentRun.action]


def all_executors(
    agents: Agents,
    *,
    max_output_bytes: int,
    spend: Spend | None = None,
    progress: Voices | None = None,
    redactor: Redactor | None = None,
) -> Executors:
    """Every executor there is."""
    run = AgentRun(agents, max_output_bytes=max_output_bytes, spend=spend, progress=progress, redactor=redactor)
    return Executors(run)
