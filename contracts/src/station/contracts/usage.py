"""What agents use up, what they may use up, and which agent it was."""

from station.contracts.wire import Record


class Usage(Record):
    """What an attempt has used so far, agents that it called included. Counts only grow."""

    requests: int = 0
    """To models."""
    input_tokens: int = 0
    output_tokens: int = 0
    tool_calls: int = 0
    cost_usd: float | None = None
    """None: a price is not known. Zero is a price."""


class Budget(Record):
    """What may be used; None is no limit."""

    max_tokens: int | None = None
    """Input and output together."""
    max_cost_usd: float | None = None
    max_tool_calls: int | None = None


class AgentUse(Record):
    """The agent that did the work of an attempt, exactly."""

    name: str
    environment: str
    model: str
    digest: str
    """Of the version that was used."""
