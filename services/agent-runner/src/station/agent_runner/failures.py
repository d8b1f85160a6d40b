"""How the runner says that an attempt failed: one exception, carrying what the scheduler will be told."""

from station.contracts.errors import ErrorType, StepError

FINAL = frozenset(
    {ErrorType.EXPRESSION, ErrorType.PAYLOAD_TOO_LARGE, ErrorType.BUDGET_EXCEEDED, ErrorType.CANCELLED, ErrorType.LIMIT}
)
"""What another attempt would only meet again."""


class AttemptFailed(Exception):
    """The attempt is over, with this error."""

    def __init__(self, error: StepError) -> None:
        super().__init__(error.message)
        self.error = error


def agent_error(message: str, *, retryable: bool = True) -> AttemptFailed:
    """The agent did not do its work."""
    return AttemptFailed(StepError(type=ErrorType.AGENT_ERROR, message=message, retryable=retryable))


def bad_input(message: str) -> AttemptFailed:
    """What the workflow handed over is not what the agent takes; another attempt would be told the same."""
    return AttemptFailed(StepError(type=ErrorType.VALIDATION, message=message, retryable=False))


def bad_output(message: str) -> AttemptFailed:
    """The answer is not what the agent's file promises; another attempt may do better."""
    return AttemptFailed(StepError(type=ErrorType.VALIDATION, message=message))


def tool_error(message: str, *, retryable: bool = True) -> AttemptFailed:
    """A tool did not do its work."""
    return AttemptFailed(StepError(type=ErrorType.TOOL_ERROR, message=message, retryable=retryable))


def budget_exceeded(message: str) -> AttemptFailed:
    """What may be used is used up."""
    return AttemptFailed(StepError(type=ErrorType.BUDGET_EXCEEDED, message=message, retryable=False))


def too_large(what: str, *, limit: int) -> AttemptFailed:
    """The answer does not fit into a step; another attempt would be as large."""
    message = (
        f"{what} is over the limit of {limit} bytes; "
        "let the agent write large data somewhere and answer with a reference to it, or raise STATION_MAX_OUTPUT_BYTES"
    )
    return AttemptFailed(StepError(type=ErrorType.PAYLOAD_TOO_LARGE, message=message, retryable=False))
