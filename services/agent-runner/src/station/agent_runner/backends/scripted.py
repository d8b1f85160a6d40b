"""The ``scripted`` backend: answers written in the agent's file, for tests, benchmarks and first tries with no key.

The rule: the first entry that matches and has ``times`` left answers. Counts live as long as the runner's process;
a changed file starts counting anew.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from station.agent_runner.backends.protocol import AgentCall, Answer, Misconfigured
from station.agent_runner.failures import FINAL, AttemptFailed, agent_error
from station.agent_runner.late_import import late_import
from station.agent_runner.loop.equipment import Equipment
from station.agent_runner.mcp.allowed import covers
from station.agent_runner.mcp.tool import full_name
from station.contracts.errors import ErrorType, StepError
from station.core.findings import near_names

MAX_PATTERN = 1000
MAX_TASK = 10_000
"""A pattern looks at so many characters of a task, so that a bad one cannot hold the runner for long."""


class When(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    task: Annotated[str, Meta(max_length=MAX_PATTERN)] | None = None
    """A regular expression, searched for in the task."""
    variables: dict[str, Any] = {}
    """Each must be there and equal."""


class ScriptedError(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    type: ErrorType = ErrorType.AGENT_ERROR
    message: str = "the script says so"


class ScriptedCall(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tool: str
    """``<server>__<tool>``, or the name of an agent under ``agents``."""
    args: dict[str, Any] = {}


class Entry(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    when: When | None = None
    answer: Any | UnsetType = UNSET
    delay_seconds: Annotated[float, Meta(ge=0)] = 0
    error: ScriptedError | None = None
    times: Annotated[int, Meta(ge=1)] | None = None
    calls: tuple[ScriptedCall | tuple[ScriptedCall, ...], ...] = ()
    """Tools that are called first, one a turn; a list in the list is one turn with several calls."""


class _Line(Struct, frozen=True):
    """An entry with its pattern compiled."""

    entry: Entry
    pattern: re.Pattern[str] | None


class ScriptedBackend:
    """Plays the script in an agent's file."""

    prefixes: tuple[str, ...] = ("scripted",)
    repeatable = True

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment
        self._used: Counter[tuple[str, int]] = Counter()

    def configure(self, front_matter: Mapping[str, Any], folder: Path) -> tuple[_Line, ...]:
        """Read the list under ``scripted``."""
        if "scripted" not in front_matter:
            raise Misconfigured(
                "model scripted needs a list under `scripted`, such as `scripted: [{answer: {ok: true}}]`"
            )
        try:
            entries = msgspec.convert(front_matter["scripted"], tuple[Entry, ...])
        except msgspec.ValidationError as error:
            raise Misconfigured(f"`scripted`: {error}") from error
        for index, entry in enumerate(entries):
            _check_calls(entry, index, front_matter)
        return tuple(_line(entry, index) for index, entry in enumerate(entries))

    def clean_up(self) -> None:
        """A script leaves nothing behind."""

    async def run(self, call: AgentCall) -> Answer:
        """Answer with the first entry that matches."""
        entry = self._take(call)
        if entry.calls:
            return await self._play(entry, call)
        await _end(entry)
        return Answer(value=entry.answer)

    async def _play(self, entry: Entry, call: AgentCall) -> Answer:
        """Go through the loop of real models, with a model that says what the script says."""
        loop = await late_import("station.agent_runner.loop.run")
        play = await late_import("station.agent_runner.loop.play")
        turns = [(turn,) if isinstance(turn, ScriptedCall) else turn for turn in entry.calls]
        calls = [[(one.tool, one.args) for one in turn] for turn in turns]
        model = play.scripted_model(calls, entry.answer, partial(_end, entry))
        await loop.run_loop(call, model, loop.Manner(), self._equipment)
        return Answer(value=entry.answer)

    def _take(self, call: AgentCall) -> Entry:
        lines: tuple[_Line, ...] = call.agent.options
        for index, line in enumerate(lines):
            if not _matches(line, call):
                continue
            if line.entry.times is None:
                return line.entry
            key = (f"{call.agent.environment}/{call.agent.name}/{call.agent.summary.digest}", index)
            if self._used[key] < line.entry.times:
                self._used[key] += 1
                return line.entry
        raise agent_error(
            f"no entry of the script in {call.agent.summary.source_file} matches this task and these variables, "
            "or those that match are used up; add an entry without `when` and `times` to answer everything else"
        )


def _check_calls(entry: Entry, index: int, front_matter: Mapping[str, Any]) -> None:
    """A call of what the file does not allow could never be made, and the script would answer as if it had been."""
    agents: list[str] = front_matter.get("agents") or []
    patterns: list[str] = [
        *(front_matter.get("tools") or ()),
        *(full_name(server, "*") for server in front_matter.get("mcpServers") or ()),
    ]
    for turn in entry.calls:
        for call in (turn,) if isinstance(turn, ScriptedCall) else turn:
            if call.tool in agents or any(covers(pattern, call.tool) for pattern in patterns):
                continue
            near = near_names(call.tool, [*agents, *patterns])
            hint = f"did you mean {near[0]!r}?" if near else "add it there, or remove the call"
            raise Misconfigured(
                f"`scripted[{index}].calls` calls {call.tool!r}, "
                f"which is not among `tools`, `mcpServers` and `agents` of the file; {hint}"
            )


def _line(entry: Entry, index: int) -> _Line:
    if entry.answer is UNSET and entry.error is None:
        raise Misconfigured(f"`scripted[{index}]` needs an `answer` or an `error`")
    if entry.when is None or entry.when.task is None:
        return _Line(entry, None)
    try:
        return _Line(entry, re.compile(entry.when.task))
    except re.error as error:
        raise Misconfigured(f"`scripted[{index}].when.task` is not a regular expression: {error}") from error


def _matches(line: _Line, call: AgentCall) -> bool:
    if line.pattern is not None and not line.pattern.search((call.task or "")[:MAX_TASK]):
        return False
    wanted = {} if line.entry.when is None else line.entry.when.variables
    return all(name in call.variables and call.variables[name] == value for name, value in wanted.items())


async def _end(entry: Entry) -> None:
    """Wait as the entry says, and fail as it says."""
    if entry.delay_seconds:
        await asyncio.sleep(entry.delay_seconds)
    if entry.error is not None:
        kind = entry.error.type
        raise AttemptFailed(StepError(type=kind, message=entry.error.message, retryable=kind not in FINAL))
