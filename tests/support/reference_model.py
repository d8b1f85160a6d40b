"""A second, naive reading of the language: walks a definition by recursion, copies everything, remembers nothing.

What agents, people, signals, timers and conditions answered is taken from the events of a run; from that the model says
which states follow, what each of them read, and what the context, the output and the error must be in the end.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from station.contracts.events import Event, StateEntered, StateExited, StepCancelled, StepSucceeded, StepTimedOut
from station.core.paths import parse_path

Place = tuple[str, tuple[Any, ...], int]
"""State name, branch path, visit."""
_HOLE = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")
_NOTHING = object()


class Missing(Exception):
    """Nothing at a path."""


class Unwritable(Exception):
    """A parent that is no object."""


class Unfinished(Exception):
    """The run ended before this."""


class Failed(Exception):
    """A scope that failed, with the type of its error."""


class Visit:
    """What the events say of one visit of a state."""

    def __init__(self, entered: StateEntered) -> None:
        self.entered = entered
        self.exited: StateExited | None = None
        self.output: Any = None


class Scope(NamedTuple):
    """Where the model stands."""

    path: tuple[Any, ...]
    writes: dict[str, Any]
    around: tuple[tuple[str, dict[str, Any]], ...]
    """Outermost first: ``("scope", writes)`` or ``("item", names)``."""

    def view(self, given: dict[str, Any]) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for kind, names in (*self.around, ("scope", self.writes)):
            merged = {**merged, **names} if kind == "item" else _over(merged, names)
        return copy.deepcopy({"input": given, **merged})


class ReferenceModel:
    """Runs a definition (canonical JSON) over the recorded answers."""

    def __init__(self, definition: dict[str, Any], given: dict[str, Any], events: Iterable[Event]) -> None:
        self._definition = definition
        self._given = given
        self._visits = _visits(events)
        self.context = {**copy.deepcopy(given), "steps": {}}

    def run(self) -> Any:
        """Give the output. Raises Failed, and Unfinished if the run was ended from outside."""
        return self._scope(self._definition, Scope((), self.context, ()))

    def _scope(self, scope_definition: dict[str, Any], scope: Scope) -> Any:
        states = {state["name"]: state for state in scope_definition["states"]}
        counts: dict[str, int] = {}
        name: str | None = scope_definition["start"]
        value: Any = None
        while name is not None:
            state, counts[name] = states[name], counts.get(name, 0) + 1
            visit = self._visits.get((name, scope.path, counts[name]))
            if visit is None:
                raise Unfinished
            name, value = self._state(state, scope, visit)
        return value

    def _state(self, state: dict[str, Any], scope: Scope, visit: Visit) -> tuple[str | None, Any]:
        match state["type"]:
            case "operation":
                return self._operation(state, scope, visit)
            case "switch":
                return self._switch(state, visit), None
            case "inject":
                return self._finish(state, scope, copy.deepcopy(state["data"]), state.get("resultPath", "ctx"))
            case _:
                return self._container(state, scope, visit)

    def _operation(self, state: dict[str, Any], scope: Scope, visit: Visit) -> tuple[str | None, Any]:
        expected = self._rendered(state.get("input", {}), scope)
        if expected is not _NOTHING:
            assert visit.entered.input == expected, (state["name"], visit.entered.input, expected)
        exited = visit.exited
        if exited is None:
            raise Unfinished
        if exited.result_path is not None:
            assert parse_path(exited.result_path) == _target(state, scope)
            _write(scope.writes, _target(state, scope), visit.output)
        if exited.error is None:
            return exited.next, visit.output
        return self._caught(state, scope, exited.error.type, exited.error.message, exited.next), None

    def _switch(self, state: dict[str, Any], visit: Visit) -> str | None:
        exited = visit.exited
        if exited is None:
            raise Unfinished
        if exited.error is not None:
            raise Failed(exited.error.type)
        target = state.get("defaultNext") if exited.matched is None else state["conditions"][exited.matched]["next"]
        assert exited.next == target
        return target

    def _container(self, state: dict[str, Any], scope: Scope, visit: Visit) -> tuple[str | None, Any]:
        results, failed = self._children(state, scope, visit)
        error = visit.exited.error if visit.exited else None
        if results is None or failed:
            if error is None:
                raise Unfinished
            if failed:
                assert {cause.where for cause in error.causes} == {str(key) for key in failed}
            return self._caught(state, scope, error.type, error.message, state.get("onError")), None
        return self._finish(state, scope, results, state.get("resultPath"))

    def _children(self, state: dict[str, Any], scope: Scope, visit: Visit) -> tuple[Any, list[Any]]:
        """What the branches or items gave, and which of them failed; no results at all without a list."""
        around = (*scope.around, ("scope", scope.writes))
        if state["type"] == "parallel":
            bodies = [(branch["name"], branch, around) for branch in state["branches"]]
        else:
            items = self._items(state, scope)
            if items is None:
                return None, []
            name = state.get("itemName", "item")
            bodies = [
                (index, state["iterator"], (*around, ("item", {name: item, "index": index})))
                for index, item in enumerate(items)
            ]
        results: dict[Any, Any] = {}
        failed: list[Any] = []
        unfinished = False
        for key, body, outside in bodies:
            again = (visit.entered.visit,) if visit.entered.visit > 1 else ()
            inner = Scope((*scope.path, (state["name"], key, *again)), {}, outside)
            try:
                self._scope(body, inner)
            except Failed:
                failed.append(key)
            except Unfinished:
                unfinished = True
            else:
                results[key] = inner.writes
        if unfinished and not failed:
            raise Unfinished
        return list(results.values()) if state["type"] == "foreach" else results, failed

    def _items(self, state: dict[str, Any], scope: Scope) -> list[Any] | None:
        try:
            items = _read(scope.view(self._given), state["itemsPath"])
        except Missing:
            return None
        return items if isinstance(items, list) else None

    def _finish(self, state: dict[str, Any], scope: Scope, value: Any, written: str | None) -> tuple[str | None, Any]:
        try:
            _write(scope.writes, _target({**state, "resultPath": written}, scope), value)
        except Unwritable:
            return self._caught(state, scope, "validation", None, state.get("onError")), None
        return state.get("next"), value

    def _caught(
        self, state: dict[str, Any], scope: Scope, kind: str, message: str | None, target: str | None
    ) -> str | None:
        if target is None:
            raise Failed(kind)
        visits = [
            visit for (name, path, _), visit in self._visits.items() if (name, path) == (state["name"], scope.path)
        ]
        errors = {visit.exited.error.message for visit in visits if visit.exited and visit.exited.error}
        said = message if message is not None else next(iter(errors))
        assert said in errors
        scope.writes["error"] = {"step": state["name"], "type": kind, "message": said}
        return target

    def _rendered(self, value: Any, scope: Scope) -> Any:
        view = scope.view(self._given)
        try:
            return _fill(value, view)
        except Missing:
            return _NOTHING


def _visits(events: Iterable[Event]) -> dict[Place, Visit]:
    visits: dict[Place, Visit] = {}
    by_step: dict[str, Visit] = {}
    for event in events:
        data, step = event.data, event.step_id or ""
        match data:
            case StateEntered():
                path = tuple(tuple(element) for element in data.branch_path)
                visits[data.state_name, path, data.visit] = by_step[step] = Visit(data)
            case StateExited():
                by_step[step].exited = data
            case StepSucceeded():
                by_step[step].output = data.output
            case StepTimedOut() | StepCancelled() if data.output is not msgspec.UNSET:
                by_step[step].output = data.output
            case _:
                pass
    return visits


def _over(outer: dict[str, Any], inner: dict[str, Any]) -> dict[str, Any]:
    merged = dict(outer)
    for name, value in inner.items():
        below = merged.get(name)
        merged[name] = _over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _read(view: dict[str, Any], path: str) -> Any:
    value: Any = view
    for depth, name in enumerate(parse_path(path)):
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        elif name != "result" or depth == 0:
            raise Missing(path)
    return value


def _fill(value: Any, view: dict[str, Any]) -> Any:
    match value:
        case dict():
            return {name: _fill(member, view) for name, member in value.items()}
        case list():
            return [_fill(member, view) for member in value]
        case str() if whole := _HOLE.fullmatch(value):
            return _read(view, whole[1])
        case str():
            return _HOLE.sub(lambda hole: _text(_read(view, hole[1])), value)
        case _:
            return value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def _target(state: dict[str, Any], scope: Scope) -> tuple[str, ...]:
    if state.get("resultPath") is not None:
        return parse_path(state["resultPath"])
    return ("result",) if scope.path else ("steps", state["name"])


def _write(root: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    if not path:
        if not isinstance(value, dict):
            raise Unwritable
        merged = _over(root, copy.deepcopy(value))
        root.clear()
        root.update(merged)
        return
    parent: Any = root
    for name in path[:-1]:
        if not isinstance(parent.get(name, {}), dict):
            raise Unwritable
        parent = parent.get(name, {})
    parent = root
    for name in path[:-1]:
        parent = parent.setdefault(name, {})
    parent[path[-1]] = copy.deepcopy(value)


def check_against_model(definition: dict[str, Any], run: Any, events: Iterable[Event]) -> str:
    """Compare a run that has ended with what the model makes of its events; give how the model saw it end."""
    model = ReferenceModel(definition, run.input, events)
    how, what = _outcome(model)
    match how:
        case "completed":
            assert (run.ended, run.output) == ("COMPLETED", what)
        case "failed":
            assert (run.ended, run.error.type) == ("FAILED", what)
        case _:
            assert run.ended != "COMPLETED"
            return how
    assert msgspec.to_builtins(run.context) == model.context
    return how


def _outcome(model: ReferenceModel) -> tuple[str, Any]:
    try:
        return "completed", model.run()
    except Failed as failure:
        return "failed", str(failure)
    except Unfinished:
        return "unfinished", None
