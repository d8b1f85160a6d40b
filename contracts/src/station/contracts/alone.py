"""One agent run by itself, on one machine: what its process reads from stdin, and the lines it writes to stdout.

No message of the bus: the command line starts the process and reads it. It ends the work by closing stdin.
"""

from typing import Any

from station.contracts.errors import StepError
from station.contracts.problems import Problem
from station.contracts.progress import AgentProgress
from station.contracts.usage import AgentUse, Usage
from station.contracts.wire import Wire


class RunAlone(Wire):
    """The one line on stdin."""

    agent: str
    environment: str = "default"
    task: str | None = None
    variables: dict[str, Any] = {}
    timeout_seconds: float | None = None


class AloneOutcome(Wire):
    """How it ended."""

    output: Any = None
    error: StepError | None = None
    cancelled: bool = False
    duration_ms: int = 0
    usage: Usage | None = None
    """None if nothing was counted."""
    agent: AgentUse | None = None
    """None if there is no such agent."""
    problems: tuple[Problem, ...] = ()
    """Of the agent's file; of all files of its environment when there is no such agent."""


class AloneLine(Wire):
    """One line on stdout: progress, any number of times, then the outcome, once."""

    progress: AgentProgress | None = None
    outcome: AloneOutcome | None = None
