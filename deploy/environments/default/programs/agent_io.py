"""What every agent's program shares: one JSON object comes in on stdin, one goes out on stdout.

Exit 0 is success; anything else fails the attempt, and the last lines of stderr are shown as its error.
"""

import json
import sys
from typing import Any, NoReturn, cast


def read_request() -> dict[str, Any]:
    """Give what Station sends: `task`, `variables`, `runId`, `stepId`, `idempotencyKey` and more."""
    text = sys.stdin.buffer.read()  # bytes: JSON is UTF-8 whatever the locale is
    try:
        request: Any = json.loads(text)
    except ValueError as error:
        fail(f'stdin must hold one JSON object such as {{"task": "…", "variables": {{}}}}: {error}')
    if not isinstance(request, dict):
        fail(f'stdin must hold one JSON object such as {{"task": "…", "variables": {{}}}}, not {text.strip()[:40]!r}')
    return cast("dict[str, Any]", request)


def variables_of(request: dict[str, Any]) -> dict[str, Any]:
    """Give the variables of the step; none is an empty object."""
    return request.get("variables") or {}


def action_key(request: dict[str, Any]) -> str:
    """Name what the step does, so that doing it again can be told from doing it twice.

    Station's key is `run:step:attempt`. The attempt is left out: an attempt that acted and then failed, by a timeout
    for instance, must not act again when it is retried.
    """
    key = request.get("idempotencyKey")
    if not isinstance(key, str) or key.count(":") != 2:
        fail(f"idempotencyKey must be run:step:attempt, as Station sends it, not {key!r}")
    return key.rpartition(":")[0]


def answer(value: dict[str, Any]) -> None:
    """Write the agent's answer."""
    sys.stdout.write(json.dumps(value) + "\n")


def fail(message: str) -> NoReturn:
    """End the attempt with an error that says what to do."""
    sys.stderr.write(message + "\n")
    sys.exit(1)
