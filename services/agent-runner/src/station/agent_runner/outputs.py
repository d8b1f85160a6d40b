"""What an agent's answer means: JSON where its file promises JSON, else JSON if the whole answer is that, else text."""

import re
from typing import Any

import msgspec
from msgspec import UNSET

from station.agent_runner.agent import Agent
from station.agent_runner.backends.protocol import Answer
from station.agent_runner.failures import bad_output, too_large
from station.core.jsonvalue import is_array, is_object
from station.core.schemas import violations

FENCED = re.compile(
    r"^[ \t]*```[ \t]*(?:json)?[ \t]*\r?\n(.*?)\r?\n?[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE | re.IGNORECASE
)
SHOWN = 200
_NOT_JSON = object()


def interpret(answer: Answer, agent: Agent, *, limit: int) -> tuple[Any, int]:
    """The output, and its size in bytes of JSON.

    Raises:
        AttemptFailed: it is no JSON where JSON was promised, breaks the output schema, or is too large.
    """
    value = _value(answer, agent)
    _check(value, agent)
    try:
        size = len(msgspec.json.encode(value))
        msgspec.msgpack.encode(value)
    except (OverflowError, RecursionError) as error:
        raise bad_output(f"the answer of agent {agent.name!r} cannot be stored ({error}); answer it as text") from error
    if size > limit:
        raise too_large(f"the answer of agent {agent.name!r} has {size} bytes as JSON, which", limit=limit)
    return value, size


def _check(value: Any, agent: Agent) -> None:
    if agent.output_validator is None:
        return
    try:
        problems = [] if agent.output_validator.is_valid(value) else violations(agent.output_validator, value)
    except ValueError as error:
        raise bad_output(f"the answer of agent {agent.name!r} cannot be checked: {error}") from error
    if problems:
        words = "; ".join(f"{problem.path or 'the whole'}: {problem.message}" for problem in problems)
        raise bad_output(f"the answer of agent {agent.name!r} breaks its output schema: {words}")


def _value(answer: Answer, agent: Agent) -> Any:
    if answer.value is not UNSET:
        return answer.value
    value = _json(answer.text)
    if agent.output_validator is None and not agent.promises_json:
        return value if is_object(value) or is_array(value) else answer.text
    if value is _NOT_JSON:
        fenced = FENCED.findall(answer.text)
        value = _json(fenced[0]) if len(fenced) == 1 else _NOT_JSON
    if value is _NOT_JSON:
        raise bad_output(
            f"agent {agent.name!r} promises JSON (`output` in its file) and did not answer it: {_shown(answer.text)}"
        )
    return value


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _NOT_JSON


def _shown(text: str) -> str:
    text = text.strip()
    if not text:
        return "nothing"
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def json_in(text: str) -> tuple[bool, Any]:
    """Whether a text is JSON, or has it in its one fenced block; and the value."""
    value = _json(text)
    if value is _NOT_JSON:
        fenced = FENCED.findall(text)
        value = _json(fenced[0]) if len(fenced) == 1 else _NOT_JSON
    return value is not _NOT_JSON, value
