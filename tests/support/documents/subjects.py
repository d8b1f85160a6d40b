"""How the documents write a subject: as a channel's name, with its parameters, with its stream."""

import re
from typing import Any

from station.contracts.catalog import Exchange, Kind
from station.contracts.subjects import EVENTS_STREAM, TASKS_STREAM

_PARAMETER = re.compile(r"\{(\w+)\}")
_MEANING = {
    "runId": "The run. 1 to 128 of the characters `A-Z a-z 0-9 _ -`.",
    "stepId": "The step within the run.",
    "signalId": "Your own name of the signal: a second one of the same name changes nothing.",
    "attempt": "1 for the first try of the step.",
    "service": "The service's name in discovery, such as `station-scheduler`.",
}
_STREAMS = {Kind.TASK: TASKS_STREAM, Kind.EVENT: EVENTS_STREAM}


def channel_of(exchange: Exchange) -> str:
    """``rpc_run_start``, ``event_step``: the subject without what all share and what varies."""
    fixed = [token for token in exchange.subject.split(".")[1:] if not token.startswith("{")]
    return "_".join([*fixed, "with_id"] if "signalId" in parameters_of(exchange) else fixed)


def parameters_of(exchange: Exchange) -> dict[str, Any]:
    """What varies in the subject, with its meaning."""
    return {name: {"description": _MEANING[name]} for name in _PARAMETER.findall(exchange.subject)}


def stream_of(exchange: Exchange) -> str | None:
    """The stream that stores it, if any does."""
    return _STREAMS.get(exchange.kind)


def shown(exchange: Exchange) -> str:
    """The subject for people: ``wf.task.run.<runId>``."""
    return _PARAMETER.sub(r"<\1>", exchange.subject)
