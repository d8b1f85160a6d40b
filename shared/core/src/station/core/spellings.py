"""Other spellings of the language, made canonical before anything is checked.

What is renamed or moved is remembered, so that a problem is reported where its author wrote it. Text that
is in no known spelling is left alone: the checks that follow say what is wrong with it.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from station.contracts.actions import ACTIONS, AGENT_RUN, HUMAN_APPROVAL
from station.core.jsonvalue import Object, is_array, is_number, is_object, pointer_token

_STATE_NAMES = {"id": "name", "transition": "next", "operation": "action", "itemVariable": "itemName"}
"""Other name of a state's field -> its canonical one."""

_STATE_TYPES = {"agent": AGENT_RUN, "human_approval": HUMAN_APPROVAL}
"""Other state type -> the action of an operation."""

_INPUT_FIELDS = {
    AGENT_RUN: ("agent", "task", "agent_task", "variables"),
    HUMAN_APPROVAL: (
        "message", "summaryPath", "approvers", "onReject", "onTimeout", "quorum", "allowSelfApproval",
    ),
}  # fmt: skip
"""Action -> what a state of its other type carries itself, and belongs in its `input`."""

_PATH_FIELDS = ("resultPath", "dataPath", "itemsPath")

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_UNITS = (3600, 60, 1, 0.001)
_TEMPLATE_ROOT = re.compile(r"(\{\{\s*)\$(?=[.\[\s}])")
_QUOTED_OR_ROOT = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(?<![\w$])\$(?=[.\[])""")
_MAX_LEVELS = 64


class Normalised(msgspec.Struct, frozen=True):
    """Canonical data, and from where its members came: canonical pointer -> the author's pointer."""

    data: Any
    origins: dict[str, str]

    def author_pointer(self, pointer: str) -> str:
        """Say where in the author's text a place of the canonical data was written."""
        head, tail = pointer, ""
        while head:
            if head in self.origins:
                return self.origins[head] + tail
            head, _, last = head.rpartition("/")
            tail = f"/{last}{tail}"
        return pointer


def normalise(data: Any) -> Normalised:
    """Rewrite a definition's other spellings; the data given is left as it is."""
    work = _Rewriting()
    return Normalised(work.definition(data), work.origins)


def seconds_of(duration: str) -> int | float | None:
    """Read a duration such as `1h30m`, `2m` or `250ms`; None if it is none."""
    match = _DURATION.fullmatch(duration.strip())
    if match is None or not any(match.groups()):
        return None
    parts = zip(match.groups(), _UNITS, strict=True)
    total = sum((float(amount) * unit for amount, unit in parts if amount), start=0.0)
    return int(total) if total.is_integer() else round(total, 6)


class _Rewriting:
    """One pass over a definition."""

    def __init__(self) -> None:
        self.origins: dict[str, str] = {}

    def definition(self, data: Any) -> Any:
        if not is_object(data):
            return data
        rewritten = dict(data)
        self._timeout(rewritten, "")
        return self._scope(rewritten, "", 0)

    def _scope(self, scope: Object, pointer: str, level: int) -> Object:
        states = scope.get("states")
        if is_array(states) and level < _MAX_LEVELS:
            scope["states"] = [self._state(s, f"{pointer}/states/{i}", level) for i, s in enumerate(states)]
        return scope

    def _state(self, data: Any, pointer: str, level: int) -> Any:
        if not is_object(data):
            return data
        state = dict(data)
        for other, name in _STATE_NAMES.items():
            self._rename(state, other, name, pointer)
        self._typed_as_action(state, pointer)
        self._timeout(state, pointer)
        for field in _PATH_FIELDS:
            _rewrite(state, field, _path)
        self._input(state, pointer)
        self._conditions(state, pointer)
        if is_array(branches := state.get("branches")):
            place = f"{pointer}/branches"
            state["branches"] = [
                self._scope(dict(b), f"{place}/{i}", level + 1) if is_object(b) else b for i, b in enumerate(branches)
            ]
        if is_object(iterator := state.get("iterator")):
            state["iterator"] = self._scope(dict(iterator), f"{pointer}/iterator", level + 1)
        return state

    def _typed_as_action(self, state: Object, pointer: str) -> None:
        kind = state.get("type")
        action = _STATE_TYPES.get(kind) if isinstance(kind, str) else None
        if action is None or state.get("action", action) != action or not is_object(state.get("input", {})):
            return
        state["type"], state["action"] = "operation", action
        self.origins.setdefault(f"{pointer}/action", f"{pointer}/type")
        payload = dict(state.get("input", {}))
        for field in _INPUT_FIELDS[action]:
            if field in state and field not in payload:
                payload[field] = state.pop(field)
                self.origins[f"{pointer}/input/{field}"] = f"{pointer}/{field}"
        state["input"] = payload

    def _input(self, state: Object, pointer: str) -> None:
        payload = state.get("input")
        if not is_object(payload):
            return
        payload = dict(payload)
        place = f"{pointer}/input"
        if "action" not in state and payload.get("task") in ACTIONS:
            state["action"] = payload.pop("task")
            self.origins[f"{pointer}/action"] = f"{place}/task"
        if state.get("action") == AGENT_RUN:
            self._rename(payload, "agent_task", "task", place)
        self._timeout(payload, place)
        _rewrite(payload, "summaryPath", _path)
        state["input"] = _templates(payload)

    def _conditions(self, state: Object, pointer: str) -> None:
        conditions = state.get("conditions")
        if not is_array(conditions):
            return
        rewritten: list[Any] = []
        for index, data in enumerate(conditions):
            condition: Any = dict(data) if is_object(data) else data
            if is_object(condition):
                self._rename(condition, "transition", "next", f"{pointer}/conditions/{index}")
                _rewrite(condition, "if", _expression)
            rewritten.append(condition)
        state["conditions"] = rewritten

    def _timeout(self, holder: Object, pointer: str) -> None:
        given = holder.get("timeout")
        seconds = seconds_of(given) if isinstance(given, str) else given
        if is_number(seconds) and "timeoutSeconds" not in holder:
            holder["timeout"] = seconds
            self._rename(holder, "timeout", "timeoutSeconds", pointer)

    def _rename(self, holder: Object, other: str, name: str, pointer: str) -> None:
        if other not in holder or name in holder:
            return
        holder[name] = holder.pop(other)
        came_from = self.origins.get(f"{pointer}/{pointer_token(other)}", f"{pointer}/{pointer_token(other)}")
        self.origins[f"{pointer}/{name}"] = came_from


def _rewrite(holder: Object, field: str, change: Any) -> None:
    if isinstance(text := holder.get(field), str):
        holder[field] = change(text)


def _path(text: str) -> str:
    return f"ctx{text[1:]}" if text == "$" or text.startswith(("$.", "$[")) else text


def _expression(text: str) -> str:
    return _QUOTED_OR_ROOT.sub(lambda match: "ctx" if match[0] == "$" else match[0], text)


def _templates(value: Any) -> Any:
    if isinstance(value, str):
        return _TEMPLATE_ROOT.sub(r"\1ctx", value) if "{{" in value else value
    if is_object(value):
        return {name: _templates(member) for name, member in value.items()}
    if is_array(value):
        return [_templates(member) for member in value]
    return value
