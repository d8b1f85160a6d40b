"""What every executor is: it takes a claimed attempt and makes its result, whatever happens."""

from typing import Any, Protocol

from msgspec import Struct

from station.agent_runner.held import Held
from station.contracts.errors import StepError


class Outcome(Struct, frozen=True, kw_only=True):
    """How an attempt ended."""

    output: Any = None
    error: StepError | None = None
    cancelled: bool = False
    size: int = 0
    """Of the output, in bytes of JSON."""
    repeatable: bool = False
    """The work touched nothing outside: doing it again is as good as keeping the result on disk."""
    attributes: dict[str, Any] = {}
    """What the trace says of it."""


class Executor(Protocol):
    """Executes one action."""

    action: str
    span: str
    """Name of its span."""

    async def execute(self, held: Held) -> Outcome:
        """Do the work. Errors are outcomes.

        Raises:
            asyncio.CancelledError: the attempt was stopped; nothing of it is running any more.
        """
        ...
