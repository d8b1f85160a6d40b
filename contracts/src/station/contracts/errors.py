"""Error types of steps and runs, and how a refused request is answered."""

from enum import StrEnum
from typing import Any

from station.contracts.problems import Problem
from station.contracts.wire import Record, Wire


class ErrorType(StrEnum):
    """Why a step or a run failed."""

    VALIDATION = "validation"
    EXPRESSION = "expression"
    AGENT_ERROR = "agent_error"
    TOOL_ERROR = "tool_error"
    TIMEOUT = "timeout"
    RETRY_EXHAUSTED = "retry_exhausted"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    BUDGET_EXCEEDED = "budget_exceeded"
    CANCELLED = "cancelled"
    LIMIT = "limit"
    INTERNAL = "internal"


class Cause(Record):
    """One error inside another: the last try of a retry, a failed branch or item of a container."""

    type: ErrorType
    message: str
    where: str | None = None
    """Branch name or item index, for a container."""


class StepError(Record):
    """Why a step failed."""

    type: ErrorType
    message: str
    retryable: bool = True
    """Whether another attempt may help; ``retry.on`` can overrule it."""
    causes: tuple[Cause, ...] = ()


class Failure(Wire):
    """Body of an answer that refuses a request; the status is that of the HTTP edge."""

    code: str
    """Stable, machine-readable, such as ``run_ended``."""
    detail: str
    """What is wrong and what to do, for a person."""
    status: int
    """HTTP status: 400, 403, 404, 409, 422, 500, 503."""
    errors: tuple[Problem, ...] = ()
    context: dict[str, Any] = {}
    """Facts of the refusal, such as the current status or the decision that stands."""
