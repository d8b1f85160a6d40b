"""What an agent does while it works, for whoever watches. Told once, stored nowhere: a hint, never a fact."""

from typing import Any, Literal

from station.contracts.bounds import Count
from station.contracts.usage import Usage
from station.contracts.wire import Wire

ProgressKind = Literal["started", "text", "tool_call", "tool_result", "retry", "usage", "finished"]


class AgentProgress(Wire):
    """On ``wf.progress.run.<run>``, from the runner. Texts and values are cut to 8 KiB, and secrets are struck out."""

    run_id: str
    step_id: str
    attempt: Count
    number: int
    """1..n within the attempt's execution; a hole means that something was dropped."""
    at: str
    """RFC 3339, UTC, milliseconds."""
    agent: str
    """The agent that speaks: the step's, or one that it called."""
    kind: ProgressKind
    text: str | None = None
    """Of ``text``: what the model said since the last one. Of ``retry``: why. Of ``finished``: the error, if any."""
    tool: str | None = None
    call_id: str | None = None
    """Joins a ``tool_result`` to its ``tool_call``."""
    arguments: Any = None
    result: Any = None
    is_error: bool = False
    usage: Usage | None = None
    truncated: bool = False
    """Something was cut or left out; with kind ``text`` and no text: the rest of the attempt is not told."""
