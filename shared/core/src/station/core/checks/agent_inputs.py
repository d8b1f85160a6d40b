"""Does what an agent is given fit its input schema, whichever way the run comes?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from station.contracts.actions import AGENT_RUN, TASK_NAMES
from station.core.checks.agents import AgentInfo
from station.core.checks.sources import Here, Source, Sources
from station.core.codes import Code
from station.core.definition import Operation
from station.core.findings import Findings
from station.core.jsonvalue import is_array, is_object, pointer_token
from station.core.paths import Path, format_path
from station.core.schema_comparison import Comparison, Comparisons, Verdict
from station.core.schema_references import without_references
from station.core.shape_fit import fit, is_plain_object, joined, member_fit, missing
from station.core.shapes import UNKNOWN, Member, Presence, Record, Sequence, Shape, Text, either, literal
from station.core.templates import TemplateError, parse_template


class AgentInputs:
    """Checks every `agent.run` of one definition."""

    def __init__(
        self, findings: Findings, agents: Mapping[str, AgentInfo], sources: Sources, *, required: bool
    ) -> None:
        self._findings = findings
        # A definition that was sent belongs to no environment: its agents may be others where it runs.
        self._hopeless = findings.error if required else findings.warning
        self._agents = agents
        self._sources = sources
        self._schemas: dict[str, Any] = {}
        self._comparisons = Comparisons()

    def check(self, state: Operation, pointer: str, here: Here) -> None:
        """Compare what a state gives to its agent with what the agent takes."""
        agent = self._agents.get(str(state.input.get("agent"))) if state.action == AGENT_RUN else None
        schema = None if agent is None else self._taken(agent)
        if agent is None or schema is None:
            return
        variables = state.input.get("variables", {})
        place = f"{pointer}/input" + ("/variables" if "variables" in state.input else "")
        more = self._added(agent, state.input, schema)
        given = self._shape(variables, here)
        if not is_object(variables) or not isinstance(given, Record):
            self._report(agent, place, "the variables", self._compared(variables, given, _less(schema, more), here))
            return
        given = Record({**more, **given.members})
        if not is_plain_object(schema):
            self._report(agent, place, "the variables", self._compared(None, given, schema, here))
            return
        for name in missing(given, schema):
            message = f"the agent {agent.name!r} requires the variable {name!r}, which is not given"
            self._hopeless(Code.SCHEMA_CANNOT, place, message, f"add it to variables: {name}")
        for name in given.members:
            where = f"{place}/{pointer_token(name)}" if name in variables else f"{pointer}/input"
            self._report(agent, where, repr(name), self._compared(variables.get(name), given, schema, here, name))

    def _taken(self, agent: AgentInfo) -> Any:
        if agent.name not in self._schemas:
            self._schemas[agent.name] = without_references(agent.input_schema)
        return self._schemas[agent.name] if agent.input_schema is not None else None

    def _compared(self, value: Any, given: Shape, schema: Any, here: Here, name: str | None = None) -> Comparison:
        """Compare a value, or one member of an object of variables; each way in which a place is written by itself."""
        sources = self._ways(value, here)
        if name is None or not isinstance(given, Record):
            return _of_ways(
                [(source, fit(self._comparisons, source.found.shape, schema)) for source in sources]
            ) or fit(self._comparisons, given, schema)
        ways = [
            (
                source,
                member_fit(self._comparisons, Record({name: Member(source.found.shape, always=True)}), name, schema),
            )
            for source in sources
        ]
        return _of_ways(ways) or member_fit(self._comparisons, given, name, schema)

    def _ways(self, value: Any, here: Here) -> list[Source]:
        path = _whole(value)
        return [] if path is None else self._sources.of(here, path)

    def _added(self, agent: AgentInfo, payload: Mapping[str, Any], schema: Any) -> dict[str, Member]:
        """What the agent gets besides its variables: its own defaults, and the task where it asks for it."""
        added = {name: Member(UNKNOWN, always=True) for name in agent.defaults}
        task = payload.get("task")
        if task is not None and is_object(schema):
            shape = literal(task) if isinstance(task, str) and "{{" not in task else Text()
            added |= {name: Member(shape, always=True) for name in TASK_NAMES if name in schema.get("properties", {})}
        return added

    def _shape(self, value: Any, here: Here) -> Shape:
        if isinstance(value, str) and "{{" in value:
            path = _whole(value)
            return Text() if path is None else self._sources.shape(here, path)
        if is_object(value):
            return Record({name: Member(self._shape(member, here), always=True) for name, member in value.items()})
        if is_array(value) and value:
            return Sequence(either(self._shape(member, here) for member in value), filled=True)
        return literal(value)

    def _report(self, agent: AgentInfo, pointer: str, what: str, found: Comparison) -> None:
        where = f" at {found.place}" if found.place else ""
        why = f": {found.reason}{where}" if found.reason else ""
        such = f", as in {found.example}" if found.example else ""
        match found.verdict:
            case Verdict.CANNOT:
                message = f"what is given can never be {what} of the agent {agent.name!r}{why}"
                hint = "give another value, or correct one of the two schemas"
                self._hopeless(Code.SCHEMA_CANNOT, pointer, message, hint)
            case Verdict.MAY_FAIL:
                message = f"what is given may not fit {what} of the agent {agent.name!r}{why}{such}"
                hint = "narrow the schema of what is given, or widen the one of the agent"
                self._findings.warning(Code.SCHEMA_MAY_FAIL, pointer, message, hint)
            case Verdict.OPTIONAL:
                message = f"what is given fits {what} of the agent {agent.name!r} only if it is complete{why}{such}"
                hint = "list the members in `required` of the schema of what is given"
                self._findings.note(Code.SCHEMA_OPTIONAL, pointer, message, hint)
            case _:
                pass


def _less(schema: Any, more: Mapping[str, Member]) -> Any:
    """Leave out what is required and there in any case."""
    if not more or not is_object(schema):
        return schema
    return {**schema, "required": [name for name in schema.get("required", ()) if name not in more]}


def _of_ways(ways: list[tuple[Source, Comparison]]) -> Comparison | None:
    """Join the ways and say, of several, which one the verdict is about; a member that may be missing is a note."""
    found: list[Comparison] = []
    for source, compared in ways:
        optional = source.found.presence is Presence.OPTIONAL and compared.verdict < Verdict.OPTIONAL
        absent = f"{format_path(source.found.rest)!r} is declared, not required"
        one = Comparison(Verdict.OPTIONAL, absent) if optional else compared
        named = one.verdict >= Verdict.OPTIONAL and source.writer
        found.append(one._replace(reason=f"{one.reason} (from {source.writer})") if named else one)
    return joined(found) if found else None


def _whole(value: Any) -> Path | None:
    """Give the path of a text that is one placeholder and nothing else."""
    if not isinstance(value, str) or "{{" not in value:
        return None
    try:
        whole = parse_template(value).whole
    except TemplateError:
        return None
    return None if whole is None else whole.path
