"""``config`` of an agent's file: what is said to its model. A name that is not known is a mistake, never ignored.

The rule: it is checked whatever runs the agent, so that a file means the same when its ``model`` is changed.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from station.agent_runner.backends.protocol import Misconfigured

_TEMPERATURE = Annotated[float, Meta(ge=0, le=2)]
_PENALTY = Annotated[float, Meta(ge=-2, le=2)]
_COUNT = Annotated[int, Meta(ge=1)]


class _Knob(Struct, frozen=True):
    setting: str
    """Its name in the model library."""
    kind: Any


_KNOBS: Mapping[str, _Knob] = {
    "temperature": _Knob("temperature", _TEMPERATURE),
    "topP": _Knob("top_p", Annotated[float, Meta(ge=0, le=1)]),
    "topK": _Knob("top_k", _COUNT),
    "maxOutputTokens": _Knob("max_tokens", _COUNT),
    "maxTokens": _Knob("max_tokens", _COUNT),
    "stopSequences": _Knob("stop_sequences", list[str]),
    "seed": _Knob("seed", int),
    "presencePenalty": _Knob("presence_penalty", _PENALTY),
    "frequencyPenalty": _Knob("frequency_penalty", _PENALTY),
    "parallelToolCalls": _Knob("parallel_tool_calls", bool),
    "thinking": _Knob("thinking", bool | Literal["minimal", "low", "medium", "high", "xhigh", "max"]),
}
NAMES = tuple(_KNOBS)


def model_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Translate ``config``; names are taken in camelCase and in snake_case.

    Raises:
        Misconfigured: a name is not known, stands twice, or its value cannot be used.
    """
    settings: dict[str, Any] = {}
    for name, value in config.items():
        knob = _KNOBS.get(_camel(name))
        if knob is None:
            raise Misconfigured(_unknown(name))
        if knob.setting in settings:
            raise Misconfigured(f"`config` says {knob.setting} twice; keep one of the two")
        try:
            settings[knob.setting] = msgspec.convert(value, knob.kind)
        except msgspec.ValidationError as error:
            raise Misconfigured(f"`config.{name}`: {error}, found {value!r}") from error
    return settings


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(_camel(name), NAMES, n=1)
    hint = f"did you mean `{close[0]}`?" if close else f"there are: {', '.join(NAMES)}"
    return f"`config.{name}` is nothing that can be said to a model; {hint}"


MAX_OUTPUT_RETRIES = 10
OUTPUT_RETRIES = 2
"""How often a model is told that its answer breaks the output schema, where its file says nothing else."""


def output_retries(front_matter: Mapping[str, Any]) -> int:
    """Read ``output.retries``.

    Raises:
        Misconfigured: it is no whole number from 0 to 10.
    """
    output: Mapping[str, Any] = front_matter.get("output") or {}
    try:
        return msgspec.convert(output.get("retries", OUTPUT_RETRIES), Annotated[int, Meta(ge=0, le=MAX_OUTPUT_RETRIES)])
    except msgspec.ValidationError as error:
        raise Misconfigured(
            f"`output.retries` must be a whole number from 0 to {MAX_OUTPUT_RETRIES}: {error}"
        ) from error
