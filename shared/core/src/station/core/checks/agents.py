"""What the agents of an environment say about a definition: are they there, and does what they are given fit?

Only a misfit that no run can escape is noted; where a schema leaves something open, nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from station.contracts.actions import AGENT_RUN
from station.core.checks.walking import Place, walk
from station.core.codes import Code
from station.core.findings import Findings, nearest_hint
from station.core.jsonvalue import Object, is_array, is_object, json_type, pointer_token
from station.core.paths import Path, PathError, parse_path
from station.core.templates import TemplateError, parse_template

_TASK_NAMES = ("task", "userInput")


class AgentInfo(msgspec.Struct, frozen=True):
    """What a definition must know of an agent."""

    name: str
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None


def check_agents(findings: Findings, data: Object, agents: Mapping[str, AgentInfo], *, required: bool) -> None:
    """Check every agent that a definition names. A name with `@` is judged only if `agents` has it so."""
    producers = _Producers(data, agents)
    for place in walk(data):
        name = _agent_name(place.state)
        if name is None:
            continue
        agent = agents.get(name)
        if agent is not None:
            _check_variables(findings, place, agent, producers)
        elif "@" not in name:
            note = findings.error if required else findings.warning
            message = f"the environment has no agent {name!r}"
            note(Code.AGENT_MISSING, f"{place.pointer}/input/agent", message, nearest_hint(name, sorted(agents)))


def _agent_name(state: Object) -> str | None:
    """Give the agent of an `agent.run`, unless only a template will tell."""
    payload = state.get("input")
    name = payload.get("agent") if state.get("action") == AGENT_RUN and is_object(payload) else None
    return name if isinstance(name, str) and name.strip() and "{{" not in name else None


def _check_variables(findings: Findings, place: Place, agent: AgentInfo, producers: _Producers) -> None:
    schema = agent.input_schema
    payload = place.state["input"]
    variables = payload.get("variables", {})
    if schema is None or not is_object(variables):
        return
    pointer = f"{place.pointer}/input" + ("/variables" if "variables" in payload else "")
    given = {*variables, *(_TASK_NAMES if "task" in payload else ())}
    required = schema.get("required")
    for name in required if is_array(required) else ():
        if name not in given:
            message = f"the agent {agent.name!r} requires the variable {name!r}, which is not given"
            findings.warning(Code.SCHEMA_INCOMPATIBLE, pointer, message, f"add it to variables: {name}")
    for name, value in variables.items():
        allowed = _declared_types(schema, (name,))
        offered = producers.types(value, place.scopes)
        if allowed and offered and not _widened(allowed) & _widened(offered):
            message = (
                f"the agent {agent.name!r} takes {_listed(allowed)} as {name!r}, and this gives {_listed(offered)}"
            )
            where = f"{place.pointer}/input/variables/{pointer_token(name)}"
            findings.warning(Code.SCHEMA_INCOMPATIBLE, where, message, "compare the two schemas")


class _Producers:
    """The declared schemas of what is written, by scope and path."""

    def __init__(self, data: Object, agents: Mapping[str, AgentInfo]) -> None:
        self._by_scope: dict[str, dict[Path, list[Any]]] = {}
        for place in walk(data):
            self._add(place, agents)
        schema = data.get("inputSchema")
        properties = schema.get("properties") if is_object(schema) else None
        for name, declared in properties.items() if is_object(properties) else ():
            self._by_scope.setdefault("", {}).setdefault((name,), []).append(declared)

    def types(self, value: Any, scopes: tuple[str, ...]) -> frozenset[str] | None:
        """Give the JSON types a value can have when it runs; None if that is not declared."""
        if not isinstance(value, str) or "{{" not in value:
            kind = json_type(value)
            return frozenset(["integer" if kind == "number" and isinstance(value, int) else kind])
        try:
            whole = parse_template(value).whole
        except TemplateError:
            return None
        return self._types_at(whole.path, scopes) if whole is not None else frozenset(["string"])

    def _types_at(self, path: Path, scopes: tuple[str, ...]) -> frozenset[str] | None:
        for scope in reversed(scopes):
            written = self._by_scope.get(scope, {})
            matching = [p for p in written if p == path[: len(p)] or path == p[: len(path)]]
            if matching:
                found = [
                    _declared_types(schema, path[len(p) :]) if len(p) <= len(path) else None
                    for p in matching
                    for schema in written[p]
                ]
                known = [types for types in found if types is not None]
                return frozenset[str]().union(*known) if len(known) == len(found) else None
        return None

    def _add(self, place: Place, agents: Mapping[str, AgentInfo]) -> None:
        for path, schema in _written(place, agents):
            self._by_scope.setdefault(place.scopes[-1], {}).setdefault(path, []).append(schema)


def _written(place: Place, agents: Mapping[str, AgentInfo]) -> Iterator[tuple[Path, Any]]:
    state = place.state
    kind, name, target = state.get("type"), state.get("name"), state.get("resultPath")
    if kind == "switch" or not isinstance(name, str):
        return
    path: Path = ("result",) if len(place.scopes) > 1 else ("steps", name)
    if kind == "inject":
        path = ()
    if isinstance(target, str):
        try:
            path = parse_path(target)
        except PathError:
            return
    agent = agents.get(_agent_name(state) or "")
    yield path, agent.output_schema if agent is not None and kind == "operation" else None


def _declared_types(schema: Any, path: Path) -> frozenset[str] | None:
    for name in path:
        properties = schema.get("properties") if is_object(schema) else None
        if is_object(properties) and name in properties:
            schema = properties[name]
        elif name != "result" or not is_object(schema) or "properties" not in schema:
            return None
    kind = schema.get("type") if is_object(schema) and "$ref" not in schema else None
    if isinstance(kind, str):
        return frozenset([kind])
    return frozenset(str(one) for one in kind) if is_array(kind) else None


def _widened(types: frozenset[str]) -> frozenset[str]:
    """A number may be whole, and a whole number is a number."""
    return types | {"number", "integer"} if types & {"number", "integer"} else types


def _listed(types: frozenset[str]) -> str:
    return " or ".join(sorted(types))
