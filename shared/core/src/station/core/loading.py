"""From what an author wrote to a definition that may run, or to everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from station.contracts.problems import Problem
from station.core.checks.agents import AgentInfo, check_agents
from station.core.checks.fields import shown
from station.core.checks.reads import check_reads
from station.core.checks.states import check_definition
from station.core.checks.walking import inner_scopes, walk
from station.core.codes import Code
from station.core.definition import Definition, digest, from_canonical, to_canonical
from station.core.documents import Document, parse_document
from station.core.findings import Findings
from station.core.jsonvalue import Object, is_array, is_object
from station.core.spellings import Normalised, normalise

__all__ = ["AgentInfo", "Loaded", "load"]


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of loading: a definition if there are no errors, and all that was found."""

    definition: Definition | None = None
    canonical: dict[str, Any] | None = None
    """The definition as JSON data, in the canonical spelling."""
    digest: str | None = None
    """sha256 in hex of the canonical JSON."""
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    """What is probably right and could be said better."""


def load(
    source: bytes | str | Mapping[str, Any],
    *,
    content_type: str | None = None,
    agents: Mapping[str, AgentInfo] | None = None,
    agents_required: bool = False,
) -> Loaded:
    """Read, normalise and check a definition, and report every problem at once.

    `agents` are those of the environment, by name; None leaves them unchecked. A missing one, and
    one that can never take what it is given, is an error if `agents_required`, else a warning.
    """
    document = _document(source, content_type)
    if document.problems:
        return Loaded(errors=document.problems)
    normalised = normalise(document.data)
    data = normalised.data
    findings = Findings()
    if not is_object(data):
        message = f"a workflow is an object with fields, not {shown(data)}"
        findings.error(Code.DOCUMENT_NOT_OBJECT, "", message, "begin with id: and states:")
        return _loaded(None, findings, normalised)
    check_definition(findings, data)
    if agents is not None:
        check_agents(findings, data, agents, required=agents_required)
    definition = _definition(data)
    if definition is not None:
        check_reads(findings, definition, agents, required=agents_required)
    return _loaded(definition, findings, normalised)


def _document(source: bytes | str | Mapping[str, Any], content_type: str | None) -> Document:
    if isinstance(source, (bytes, str)):
        return parse_document(source, content_type)
    try:
        return parse_document(msgspec.json.encode(source), "application/json")
    except (TypeError, ValueError, RecursionError) as error:
        return Document(None, (Problem(Code.DOCUMENT_SYNTAX.value, "", f"the data is not JSON: {error}"),))


def _definition(data: Object) -> Definition | None:
    """Build the structs, as far as the data's shape allows it."""
    _fill_start(data)
    for place in walk(data):
        for scope, _ in inner_scopes(place.state, place.pointer):
            if is_object(scope):
                _fill_start(scope)
    try:
        return from_canonical(data)
    except msgspec.ValidationError:
        return None


def _fill_start(scope: Object) -> None:
    states = scope.get("states")
    first: Any = states[0] if is_array(states) and states else None
    if is_object(first) and "start" not in scope:
        scope["start"] = first.get("name")


def _loaded(definition: Definition | None, findings: Findings, normalised: Normalised) -> Loaded:
    errors = _as_written(findings.errors, normalised)
    warnings, notes = _as_written(findings.warnings, normalised), _as_written(findings.notes, normalised)
    if errors or definition is None:
        if not errors:
            raise AssertionError("a definition passed every check and cannot be built")
        return Loaded(errors=errors, warnings=warnings, notes=notes)
    return Loaded(
        definition=definition,
        canonical=to_canonical(definition),
        digest=digest(definition),
        errors=(),
        warnings=warnings,
        notes=notes,
    )


def _as_written(problems: tuple[Problem, ...], normalised: Normalised) -> tuple[Problem, ...]:
    return tuple(msgspec.structs.replace(problem, path=normalised.author_pointer(problem.path)) for problem in problems)
