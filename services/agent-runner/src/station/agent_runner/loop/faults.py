"""What went wrong with a request to a model: whether it may pass by itself, and how it is told to people."""

from __future__ import annotations

from msgspec import Struct
from pydantic_ai.exceptions import (
    AgentRunError,
    ContentFilterError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestTimeout,
    ModelServerError,
    ModelTimeoutError,
    ModelUnavailableError,
    OutputTokenLimitExceeded,
    UnexpectedModelBehavior,
)

from station.agent_runner.failures import AttemptFailed, agent_error
from station.core.jsonvalue import is_object

PASSING_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
SHOWN = 400


class CutOff(Exception):
    """The answer ended before its end."""


class Unreadable(Exception):
    """What came is not what a server of that kind sends."""


def passes(error: Exception) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, ModelQuotaExceededError):
        return False
    if isinstance(error, ModelHTTPError):
        return error.status_code in PASSING_STATUSES
    # Without a kind: a stream that ended too early, or that told of an error in the middle.
    return type(error) is ModelAPIError or isinstance(
        error, (CutOff, ModelRateLimitError, ModelUnavailableError, ModelServerError, ModelConnectionError)
    )


def is_unreadable(error: Exception, *, heard: bool) -> bool:
    """Whether an error of a stream means that it was never one; ``heard``: something that makes sense had come."""
    if isinstance(error, ModelAPIError):
        # Without a kind and a cause: it ended too early, and of nothing that is no early end.
        cause = error.__cause__ or error.__context__
        return type(error) is ModelAPIError and (isinstance(cause, ValueError) or (cause is None and not heard))
    return type(error) is UnexpectedModelBehavior or not isinstance(error, AgentRunError | AttemptFailed | CutOff)


def most_tries(error: Exception, tries: int) -> int:
    """How often a request is sent at most that ends so, where what may pass is sent ``tries`` times."""
    if isinstance(error, Unreadable):
        return min(2, tries)
    return tries if passes(error) else 1


def asked_pause(error: Exception) -> float | None:
    """Seconds that the provider asks to wait; None if it says nothing."""
    return error.retry_after if isinstance(error, ModelAPIError) else None


def reason(error: Exception) -> str:
    """What happened, short: for progress and as the end of a message."""
    if isinstance(error, ModelHTTPError):
        return f"HTTP {error.status_code}: {_said(error)}"
    if isinstance(error, AgentRunError | CutOff | Unreadable):
        return _short(str(error))
    return f"{type(error).__name__}: {_short(str(error))}"


class _Verdict(Struct, frozen=True):
    """How a kind of error is told. ``{model}``, ``{why}``, ``{setting}`` and ``{times}`` are filled in."""

    words: str
    retryable: bool = False


_VERDICTS: tuple[tuple[tuple[type[Exception], ...], _Verdict], ...] = (
    ((ModelAuthenticationError,), _Verdict("{model} refused the key ({why}); look at STATION_{setting}_API_KEY")),
    (
        (ModelContextWindowExceededError,),
        _Verdict(
            "what agent and tools said is more than {model} takes ({why}); "
            "shorten the prompt, the variables or what tools answer, or use a model with a larger context"
        ),
    ),
    (
        (ModelNotFoundError,),
        _Verdict(
            "there is no model {model}, or it is not open to the key ({why}); "
            "look at `model` in the agent's file, and at STATION_{setting}_BASE_URL"
        ),
    ),
    ((ModelQuotaExceededError,), _Verdict("the account of {model} is used up ({why}); use another key or model")),
    (
        (ModelTimeoutError, ModelRequestTimeout),
        _Verdict("{model} was silent for too long{times} ({why}); see STATION_MODEL_SILENCE_SECONDS", retryable=True),
    ),
    (
        (ModelConnectionError, CutOff),
        _Verdict("{model} cannot be reached or hung up{times} ({why}); see STATION_{setting}_BASE_URL", retryable=True),
    ),
    (
        (OutputTokenLimitExceeded,),
        _Verdict("the answer of {model} was cut off ({why}); raise `config.maxOutputTokens`", retryable=True),
    ),
    ((ContentFilterError,), _Verdict("{model} would not answer: its filter stepped in ({why})")),
    ((UnexpectedModelBehavior,), _Verdict("what {model} answered makes no sense ({why})", retryable=True)),
)
_BUSY = _Verdict("{model} did not answer{times} ({why})", retryable=True)
_REFUSED = _Verdict(
    "{model} refused the request ({why}); look at `model`, `config` and the schemas of the agent's file"
)
_UNREADABLE = _Verdict("what {model} sent cannot be read{times} ({why}); is it a server of that kind?", retryable=True)


def failure(error: Exception, model: str, *, tries: int = 1) -> AttemptFailed:
    """The end of the attempt, in words that say which setting or field to look at."""
    verdict = _verdict(error)
    words = verdict.words.format(
        model=model,
        why=reason(error),
        setting=model.partition("/")[0].upper(),
        times=f", {tries} times" if tries > 1 else "",
    )
    return agent_error(words, retryable=verdict.retryable)


def _verdict(error: Exception) -> _Verdict:
    for kinds, verdict in _VERDICTS:
        if isinstance(error, kinds):
            return verdict
    if passes(error):
        return _BUSY
    return _REFUSED if isinstance(error, ModelHTTPError) else _UNREADABLE


def _said(error: ModelHTTPError) -> str:
    inner = error.body.get("error", error.body) if is_object(error.body) else error.body
    said = inner.get("message", inner) if is_object(inner) else inner
    return _short(str(said)) if said else "it gave no reason"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
