"""What every backend is: it reads its own part of an agent's file, and it runs calls.

The rule: a backend neither knows of claims and tokens nor checks schemas; that is done around it, once for all.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from msgspec import UNSET, Struct, UnsetType, field

from station.agent_runner.agent import Agent
from station.agent_runner.metering import Meter
from station.agent_runner.progress import SILENT, Progress


class AgentCall(Struct, frozen=True, kw_only=True):
    """One attempt, as a backend sees it. Its variables have passed the agent's input schema."""

    agent: Agent
    task: str | None
    variables: dict[str, Any]
    run_id: str
    step_id: str
    attempt: int
    idempotency_key: str
    agent_run_id: str | None = None
    max_output_bytes: int
    """A longer answer fails anyway: stop collecting it."""
    meter: Meter = field(default_factory=Meter)
    """Of the whole attempt: ask it before every call of a model or a tool, and tell it what was used."""
    progress: Progress = SILENT
    find: Callable[[Agent, str], Awaitable[Agent]] | None = None
    """Gives an agent that another one may call, in the version that this is bound to."""
    depth: int = 0
    """How many agents have called each other to come here."""
    traceparent: str | None = None
    """Of the span that it is inside of: the attempt's, or that of the call."""
    timeout_seconds: float | None = None
    """Of the step: it is cancelled by then, and a backend need not watch the clock. None: nobody cancels it."""


class Answer(Struct, frozen=True):
    """What an agent answered: a text in which JSON is looked for, or a JSON value that is taken as it is."""

    text: str = ""
    value: Any | UnsetType = UNSET


class Misconfigured(Exception):
    """A backend cannot use its part of an agent's file. The message says which field and what is expected."""


class Backend(Protocol):
    """Runs agents of one kind of model."""

    prefixes: tuple[str, ...]
    """The ``model`` it serves, whole or up to the first ``/``."""
    repeatable: bool
    """True if its work touches nothing outside: a lost result may be made again instead of being kept on disk."""

    def configure(self, front_matter: Mapping[str, Any], folder: Path) -> Any:
        """Read what the file says to this backend; the answer becomes ``agent.options``.

        Raises:
            Misconfigured: the file cannot be used.
        """
        ...

    def clean_up(self) -> None:
        """Called once at the start, before anything runs: end what a runner that was killed has left behind."""
        ...

    async def run(self, call: AgentCall) -> Answer:
        """Do the work of one attempt. When cancelled, leave nothing running behind.

        Raises:
            AttemptFailed: with the error to report; any other exception is reported as ``internal``.
        """
        ...


@runtime_checkable
class Closing(Protocol):
    """A backend that holds something open, such as connections."""

    async def close(self) -> None:
        """Let go of it; nothing runs any more."""
        ...


@runtime_checkable
class Configurable(Protocol):
    """A backend whose models need settings of the runner."""

    def not_configured(self, model: str) -> str | None:
        """What must be set before a model can be used; None if it can."""
        ...
