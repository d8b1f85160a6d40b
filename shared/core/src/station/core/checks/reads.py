"""Looks at every read of a definition: is something there on every way in, and does an agent take it?

It errs on the quiet side: what may come from an agent, or from an input without a schema, is taken to be there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from station.core.checks.agent_inputs import AgentInputs
from station.core.checks.agents import AgentInfo
from station.core.checks.flow import Flow, Places, Scope
from station.core.checks.provided import Writes
from station.core.checks.sources import Here, Sources, ways_without
from station.core.checks.writes import ANYWHERE, read_path
from station.core.codes import Code
from station.core.definition import Definition, Foreach, Operation, Parallel, State, Switch
from station.core.expressions import ExpressionError, compile_expression, possible_names_problem
from station.core.findings import Findings, near_names
from station.core.jsonvalue import is_object
from station.core.paths import Path, format_path
from station.core.shapes import UNKNOWN, Presence, Shape, promised
from station.core.templates import TemplateError, paths_in

_OPEN_KEYWORDS = ("$ref", "allOf", "anyOf", "oneOf", "if", "patternProperties", "$dynamicRef")


def check_reads(
    findings: Findings,
    definition: Definition,
    agents: Mapping[str, AgentInfo] | None = None,
    *,
    required: bool = False,
) -> None:
    """Follow the data through a definition and note what is read before it can be there, or cannot be taken.

    What an agent can never take is an error if `required`: it is the one that the workflow will run with.
    """
    _Reader(findings, definition, agents or {}, required=required).read()


def input_roots(schema: Any) -> frozenset[str] | None:
    """Name the members that a schema of the input declares; None if it leaves them open."""
    if not is_object(schema) or any(keyword in schema for keyword in _OPEN_KEYWORDS):
        return None
    properties = schema.get("properties")
    additional = schema.get("additionalProperties", False)
    return frozenset(properties) if is_object(properties) and additional is False else None


class _Reader:
    """Looks at every read of a definition, scope by scope."""

    def __init__(
        self, findings: Findings, definition: Definition, agents: Mapping[str, AgentInfo], *, required: bool
    ) -> None:
        self._findings = findings
        self._definition = definition
        self._places = places = Places()
        self._flow = Flow(places, definition, nested=False)
        self._writes = Writes(places, definition, self._flow, partial(_output, agents), nested=False)
        self._sources = Sources(places, definition.input_schema)
        self._inputs = AgentInputs(findings, agents, self._sources, required=required)
        schema = definition.input_schema
        self._roots = input_roots(schema)
        closed = is_object(schema) and schema.get("additionalProperties") is False and ANYWHERE not in places.writers
        self._closed = self._roots if closed else None

    def read(self) -> None:
        here = Here("", self._flow, self._writes, self._places.bit(("input",)))
        self._scope(self._definition, here, "")

    def _scope(self, scope: Scope, around: Here, pointer: str) -> None:
        """Look at the states of a scope; `around` has its flow, and what is known where it begins."""
        for index, state in enumerate(scope.states):
            if state.name not in around.flow.known:
                continue  # unreachable, and reported as such
            here = around._replace(state=state.name, known=around.known | around.flow.known[state.name])
            place = f"{pointer}/states/{index}"
            for field, path in _reads(state):
                self._check(f"{place}/{field}", path, here)
            if isinstance(state, Switch):
                self._check_names(state, place, here.known)
            if isinstance(state, Operation):
                self._inputs.check(state, place, here)
            self._inside(state, place, here)

    def _inside(self, state: State, place: str, here: Here) -> None:
        inner_writes = here.writes.inner[state.name]
        for index, (inner, flow) in enumerate(here.flow.inner[state.name]):
            at = f"{place}/branches/{index}" if isinstance(state, Parallel) else f"{place}/iterator"
            visible, foreach = here.known, None
            if isinstance(state, Foreach):
                visible, foreach = visible | self._places.bits([(state.item_name,), ("index",)]), state
            self._scope(inner, Here("", flow, inner_writes[index], visible, foreach, here), at)

    def _check(self, pointer: str, path: Path, here: Here) -> None:
        if not path or path == ("steps",):
            return
        if self._places.holds(here.known, path):
            self._check_members(pointer, path, here)
            return
        if path[0] != "steps" and (self._roots is None or path[0] in self._roots):
            self._check_members(pointer, path, here)
            return
        text = format_path(path)
        writers = self._writers(path)
        if writers:
            ways = ", ".join(ways_without(self._places, here, path))
            message = f"a run can come here {f'from {ways} ' if ways else ''}before {text!r} is written"
            hint = f"it is written by {writers}, which some way here does not pass"
        else:
            message = f"no state writes {text!r}" + ("" if path[0] == "steps" else ", and the input does not have it")
            hint = partial(self._nearest, path, here.known)
        self._findings.warning(Code.UNWRITTEN_PATH, pointer, message, hint)

    def _check_members(self, pointer: str, path: Path, here: Here) -> None:
        """Note a member that a value never has by its schema, or that only looks like one it has."""
        for source in self._sources.of(here, path):
            found = source.found
            if found.presence < Presence.UNDECLARED:
                continue
            name, at = path[len(path) - len(found.rest)], format_path(path[: len(path) - len(found.rest)])
            near = near_names(name, found.names)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(found.names[:12]) or 'no members'}"
            if found.presence is Presence.NEVER:
                message = f"{at!r} never has a member {name!r}, by the schema of what {source.writer} gives"
                self._findings.warning(Code.UNKNOWN_MEMBER, pointer, message, hint)
            elif near:
                message = f"{at!r} declares no member {name!r}, by the schema of what {source.writer} gives"
                self._findings.note(Code.UNDECLARED_MEMBER, pointer, message, hint)

    def _check_names(self, state: Switch, place: str, known: int) -> None:
        if self._closed is None or state.data_path is not None:
            return
        visible = self._places.listed(known)
        roots = {*self._closed, *(path[0] for path in (*self._places.writers, *visible) if path), "error"}
        for index, condition in enumerate(state.conditions):
            try:
                problem = possible_names_problem(compile_expression(condition.if_), roots)
            except ExpressionError:
                continue  # reported as such
            if problem is not None:
                pointer = f"{place}/conditions/{index}/if"
                self._findings.error(Code.BAD_EXPRESSION, pointer, problem, "write the name of what is in the context")

    def _writers(self, path: Path) -> str:
        names = [
            name
            for written, writers in self._places.writers.items()
            if written and (written == path[: len(written)] or path == written[: len(path)])
            for name in writers
        ]
        return ", ".join(repr(name) for name in dict.fromkeys(names))

    def _nearest(self, path: Path, known: int) -> str:
        candidates = [format_path(written) for written in self._places.listed(known) if written]
        candidates += sorted(self._roots or ())
        near = near_names(format_path(path), candidates)
        return f"did you mean {near[0]!r}?" if near else "check the name, or write it in a state before this one"


def _output(agents: Mapping[str, AgentInfo], name: str) -> Shape:
    return promised(agents[name].output_schema) if name in agents else UNKNOWN


def _reads(state: State) -> Iterator[tuple[str, Path]]:
    match state:
        case Operation():
            yield from _template_reads(state.input)
            summary = state.input.get("summaryPath")
            yield from _named("input/summaryPath", summary if isinstance(summary, str) else None)
        case Switch():
            yield from _named("dataPath", state.data_path)
            for index, condition in enumerate(state.conditions):
                for path in _expression_reads(condition.if_, has_data=state.data_path is not None):
                    yield f"conditions/{index}/if", path
        case Foreach():
            yield from _named("itemsPath", state.items_path)
        case _:
            pass


def _named(field: str, text: str | None) -> Iterator[tuple[str, Path]]:
    path = read_path(text)
    if path is not None:
        yield field, path


def _template_reads(payload: Any) -> Iterator[tuple[str, Path]]:
    try:
        found = list(paths_in(payload, "input"))
    except TemplateError:
        return  # reported as such
    for field, text in found:
        yield from _named(field, text)


def _expression_reads(source: str, *, has_data: bool) -> Iterator[Path]:
    try:
        reads = compile_expression(source).reads
    except ExpressionError:
        return  # reported as such
    for read in sorted(reads):
        if read[0] == "ctx":
            yield read[1:]
        elif read[0] == "steps" or not has_data:
            yield read
