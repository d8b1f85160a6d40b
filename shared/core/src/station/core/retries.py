"""Which failures are tried again, when, and what is left to say when no attempt remains."""

from __future__ import annotations

from station.contracts.errors import Cause, ErrorType, StepError
from station.core.definition import Retry
from station.core.identity import unit_interval

NEVER_BY_DEFAULT = frozenset(
    {
        ErrorType.EXPRESSION,
        ErrorType.PAYLOAD_TOO_LARGE,
        ErrorType.BUDGET_EXCEEDED,
        ErrorType.CANCELLED,
        ErrorType.LIMIT,
    }
)
"""Not tried again unless ``retry.on`` names them. A ``validation`` error says itself whether it was of an input."""


def eligible(policy: Retry, error: StepError) -> bool:
    """Tell whether the policy covers this kind of error."""
    if policy.on is not None:
        return error.type in policy.on
    return error.retryable and error.type not in NEVER_BY_DEFAULT


def may_retry(policy: Retry, attempt: int, error: StepError) -> bool:
    """Tell whether another attempt follows this one."""
    return attempt < policy.max_attempts and eligible(policy, error)


def backoff_ms(policy: Retry, step_id: str, attempt: int) -> int:
    """Give the pause after a failed attempt: exponential, capped, and spread by a jitter that replays the same."""
    seconds = float(policy.backoff_seconds)
    limit = _LONGEST if policy.max_backoff_seconds is None else min(policy.max_backoff_seconds, _LONGEST)
    for _ in range(attempt - 1):
        seconds *= policy.multiplier
        if seconds >= limit:
            break
    seconds = min(seconds, limit)
    spread = seconds * policy.jitter * (2 * unit_interval(f"{step_id}:{attempt}") - 1)
    return max(0, round((seconds + spread) * 1000))


def final_error(policy: Retry, attempt: int, error: StepError) -> StepError:
    """Give the error that counts once no attempt remains: ``retry_exhausted`` if attempts were used up on it."""
    if policy.max_attempts == 1 or not eligible(policy, error):
        return error
    return StepError(
        type=ErrorType.RETRY_EXHAUSTED,
        message=f"{attempt} attempts failed; the last one: {error.type}: {error.message}",
        retryable=False,
        causes=(Cause(type=error.type, message=error.message),),
    )


_LONGEST = 366 * 24 * 3600.0
