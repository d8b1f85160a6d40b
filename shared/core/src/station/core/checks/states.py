"""The shape of a definition: which fields each part has, and what they take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from station.contracts.actions import ACTIONS
from station.contracts.errors import ErrorType
from station.core.checks.actions import check_action
from station.core.checks.fields import (
    Field,
    anything,
    boolean,
    check_object,
    integer,
    json_object,
    labels,
    list_of,
    name,
    number,
    one_of,
    path,
    shown,
    text,
    wrong_type,
)
from station.core.checks.graph import check_scope_graph
from station.core.codes import Code
from station.core.expressions import ExpressionError, compile_expression, possible_names_problem
from station.core.findings import Findings, nearest_hint
from station.core.jsonvalue import Object, is_array, is_object
from station.core.paths import PathError, parse_path
from station.core.schemas import check_schema

MAX_CONTAINERS = 16
RESERVED_ITEM_NAMES = ("ctx", "steps", "input", "index")

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SECONDS = Field(number(above=0))
_PATH = Field(path)


def check_definition(findings: Findings, data: Object) -> None:
    """Check everything about a definition that needs no knowledge of agents or of data flow."""
    if check_object(findings, data, "", _DEFINITION, "a workflow"):
        _check_states(findings, data, "", 0)


def _workflow_id(findings: Findings, value: Any, pointer: str) -> None:
    if not isinstance(value, str):
        wrong_type(findings, value, pointer, "string")
    elif not _ID.fullmatch(value):
        hint = "letters, digits, dots, dashes and underscores, at most 128, beginning with a letter or digit"
        findings.error(Code.BAD_VALUE, pointer, f"{shown(value)} cannot be a workflow's id", hint)


def _schema(findings: Findings, value: Any, pointer: str) -> None:
    for problem in check_schema(value):
        findings.error(Code(problem.code), f"{pointer}{problem.path}", problem.message, problem.hint)


def _join(findings: Findings, value: Any, pointer: str) -> None:
    if check_object(findings, value, pointer, {"mode": Field(text)}, "a join") and value.get("mode", "all") != "all":
        mode = value["mode"]
        if isinstance(mode, str):
            message = f"the join mode {mode!r} is not supported"
            findings.error(Code.UNSUPPORTED_JOIN, f"{pointer}/mode", message, 'write "all": every branch is awaited')


def _retry(findings: Findings, value: Any, pointer: str) -> None:
    check_object(findings, value, pointer, _RETRY, "retry")


def _condition(findings: Findings, value: Any, pointer: str) -> None:
    check_object(findings, value, pointer, _CONDITION, "a condition")


def _expression(findings: Findings, value: Any, pointer: str) -> None:
    if not isinstance(value, str):
        wrong_type(findings, value, pointer, "string")
        return
    try:
        problem = possible_names_problem(compile_expression(value), None)
    except ExpressionError as error:
        problem = str(error)
    if problem is not None:
        hint = 'write one Starlark expression, such as "result.error_rate > 0.05"'
        findings.error(Code.BAD_EXPRESSION, pointer, problem, hint)


def _item_name(findings: Findings, value: Any, pointer: str) -> None:
    if not isinstance(value, str):
        wrong_type(findings, value, pointer, "string")
        return
    try:
        plain = len(parse_path(value)) == 1 and "[" not in value
    except PathError:
        plain = False
    if not plain or value in RESERVED_ITEM_NAMES:
        hint = f"one plain name, and none of {', '.join(RESERVED_ITEM_NAMES)}"
        findings.error(Code.BAD_VALUE, pointer, f"{shown(value)} cannot be the name of an item", hint)


def _budget(findings: Findings, value: Any, pointer: str) -> None:
    if check_object(findings, value, pointer, _BUDGET, "a budget") and not value:
        findings.error(Code.BAD_VALUE, pointer, "an empty budget limits nothing", f"give one of {', '.join(_BUDGET)}")


_MOST = 2**53 - 1
_BUDGET: Mapping[str, Field] = MappingProxyType(
    {
        "maxTokens": Field(integer(least=0, most=_MOST)),
        "maxCostUsd": Field(number(least=0, most=_MOST)),
        "maxToolCalls": Field(integer(least=0, most=_MOST)),
    }
)

_DEFINITION: Mapping[str, Field] = MappingProxyType(
    {
        "id": Field(_workflow_id, required=True),
        "version": Field(text),
        "name": Field(text),
        "description": Field(text),
        "inputSchema": Field(_schema),
        "outputSchema": Field(_schema),
        "start": Field(name),
        "states": Field(list_of(anything, least=1), required=True),
        "timeoutSeconds": _SECONDS,
        "labels": Field(labels),
        "budget": Field(_budget),
    }
)

_RETRY: Mapping[str, Field] = MappingProxyType(
    {
        "maxAttempts": Field(integer(least=1, most=1000), required=True),
        "backoffSeconds": Field(number(least=0)),
        "multiplier": Field(number(least=1, most=1000)),
        "maxBackoffSeconds": Field(number(least=0)),
        "jitter": Field(number(least=0, most=1)),
        "on": Field(list_of(one_of([t.value for t in ErrorType], Code.UNKNOWN_ERROR_TYPE, "error type"), least=1)),
    }
)

_CONDITION: Mapping[str, Field] = MappingProxyType(
    {"if": Field(_expression, required=True), "next": Field(name, required=True)}
)
_SCOPE: Mapping[str, Field] = MappingProxyType(
    {"start": Field(name), "states": Field(list_of(anything, least=1), required=True)}
)
_BRANCH: Mapping[str, Field] = MappingProxyType({"name": Field(name, required=True), **_SCOPE})
_COMMON: Mapping[str, Field] = MappingProxyType(
    {
        "name": Field(name, required=True),
        "type": Field(text, required=True),
        "next": Field(name),
        "end": Field(boolean),
    }
)

STATES: Mapping[str, Mapping[str, Field]] = MappingProxyType(
    {
        "operation": {
            **_COMMON,
            "action": Field(one_of(ACTIONS, Code.UNKNOWN_ACTION, "action"), required=True),
            "input": Field(json_object),
            "timeoutSeconds": _SECONDS,
            "retry": Field(_retry),
            "budget": Field(_budget),
            "resultPath": _PATH,
            "onError": Field(name),
        },
        "switch": {
            **_COMMON,
            "dataPath": _PATH,
            "conditions": Field(list_of(_condition)),
            "defaultNext": Field(name),
        },
        "parallel": {
            **_COMMON,
            "branches": Field(list_of(anything, least=1), required=True),
            "join": Field(_join),
            "resultPath": _PATH,
            "onError": Field(name),
        },
        "inject": {**_COMMON, "data": Field(anything, required=True), "resultPath": _PATH},
        "foreach": {
            **_COMMON,
            "itemsPath": Field(path, required=True),
            "itemName": Field(_item_name),
            "maxConcurrency": Field(integer(least=1, most=10_000)),
            "iterator": Field(anything, required=True),
            "resultPath": _PATH,
            "onError": Field(name),
        },
    }
)


def _check_states(findings: Findings, scope: Object, pointer: str, depth: int) -> None:
    states = scope.get("states")
    if not is_array(states):
        return
    for index, state in enumerate(states):
        _check_state(findings, state, f"{pointer}/states/{index}", depth)
    check_scope_graph(findings, scope, pointer)


def _check_state(findings: Findings, state: Any, pointer: str, depth: int) -> None:
    kind = state.get("type") if is_object(state) else None
    if not is_object(state) or not isinstance(kind, str):
        check_object(findings, state, pointer, _ANY_STATE, "a state")
        return
    if kind not in STATES:
        message = f"there is no state type {kind!r}"
        findings.error(Code.UNKNOWN_TYPE, f"{pointer}/type", message, nearest_hint(kind, STATES))
        return
    check_object(findings, state, pointer, STATES[kind], f"a state of type {kind}")
    match kind:
        case "operation":
            check_action(findings, state, pointer)
        case "inject":
            _check_inject(findings, state, pointer)
        case "parallel" | "foreach" if depth >= MAX_CONTAINERS:
            message = f"branches and iterators are nested more than {MAX_CONTAINERS} deep"
            findings.error(Code.NESTED_TOO_DEEP, pointer, message, "move the inner part into a workflow of its own")
        case "parallel":
            _check_branches(findings, state, pointer, depth)
        case "foreach":
            if "iterator" in state:
                place = f"{pointer}/iterator"
                if check_object(findings, state["iterator"], place, _SCOPE, "an iterator"):
                    _check_states(findings, state["iterator"], place, depth + 1)
        case _:
            pass


_ANY_STATE: Mapping[str, Field] = MappingProxyType(
    {field: Field(anything) for fields in STATES.values() for field in fields}
    | {"name": _COMMON["name"], "type": _COMMON["type"]}
)
"""What some state has; for one whose type is not given."""


def _check_inject(findings: Findings, state: Object, pointer: str) -> None:
    target = state.get("resultPath", "ctx")
    if "data" in state and target in ("ctx", "$") and not is_object(state["data"]):
        hint = "give an object, or say in resultPath where the value goes"
        message = f"only an object can be merged into the context, not {shown(state['data'])}"
        findings.error(Code.BAD_VALUE, f"{pointer}/data", message, hint)


def _check_branches(findings: Findings, state: Object, pointer: str, depth: int) -> None:
    branches = state.get("branches")
    if not is_array(branches):
        return
    seen: dict[str, str] = {}
    for index, branch in enumerate(branches):
        place = f"{pointer}/branches/{index}"
        if not check_object(findings, branch, place, _BRANCH, "a branch"):
            continue
        _check_states(findings, branch, place, depth + 1)
        branch_name = branch.get("name")
        if isinstance(branch_name, str) and branch_name in seen:
            message = f"a branch named {branch_name!r} is there already, at {seen[branch_name]}"
            findings.error(Code.DUPLICATE_NAME, f"{place}/name", message, "give each branch a name of its own")
        elif isinstance(branch_name, str):
            seen[branch_name] = place
