"""The ways through one scope: names, targets, what is reached, and where it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from station.core.checks.actions import approval_targets
from station.core.codes import Code
from station.core.findings import Findings, nearest_hint
from station.core.jsonvalue import Object, is_array, is_object


def check_scope_graph(findings: Findings, scope: Object, pointer: str) -> None:
    """Check the states of a definition, a branch or an iterator against each other."""
    states = [(f"{pointer}/states/{index}", state) for index, state in enumerate(scope["states"]) if is_object(state)]
    known = _named(findings, states)
    start = scope.get("start")
    if isinstance(start, str) and start not in known:
        message = f"start names the state {start!r}, which is not there"
        findings.error(Code.UNKNOWN_STATE, f"{pointer}/start", message, nearest_hint(start, known))
    if "start" not in scope and len(scope["states"]) > 1:
        first = states[0][1].get("name") if states else None
        message = f"start is left out; the first state, {first!r}, is taken"
        findings.warning(Code.START_LEFT_OUT, pointer, message, f"write start: {first}")
    for place, state in states:
        _check_ways_on(findings, state, place, known)
    _check_reached(findings, states, start if "start" in scope else None, known)


def _named(findings: Findings, states: list[tuple[str, Object]]) -> dict[str, str]:
    known: dict[str, str] = {}
    for place, state in states:
        name = state.get("name")
        if not isinstance(name, str):
            continue
        if name in known:
            message = f"a state named {name!r} is there already, at {known[name]}"
            findings.error(Code.DUPLICATE_NAME, f"{place}/name", message, "give each state a name of its own")
        else:
            known[name] = place
    return known


def _check_ways_on(findings: Findings, state: Object, place: str, known: dict[str, str]) -> None:
    for field, target in ways_on(state):
        if target not in known:
            message = f"{field.rpartition('/')[2]} names the state {target!r}, which this scope does not have"
            findings.error(Code.UNKNOWN_STATE, f"{place}/{field}", message, nearest_hint(target, known))
    ends = state.get("end") is True
    if state.get("type") == "switch":
        _check_switch(findings, state, place)
    elif "next" in state and ends:
        findings.error(Code.NEXT_AND_END, place, "a state either goes on with next or ends; this one has both")
    elif "next" not in state and not ends:
        message = "neither next nor end: this state is taken as an end"
        findings.warning(Code.NO_TRANSITION, place, message, "write end: true, or next with the name of a state")


def _check_switch(findings: Findings, state: Object, place: str) -> None:
    for field in ("next", "end"):
        if field in state:
            message = f"a switch goes on by its conditions and defaultNext; {field} does nothing here"
            findings.error(Code.SWITCH_TRANSITION, f"{place}/{field}", message, "write defaultNext")
    if not state.get("conditions") and "defaultNext" not in state:
        message = "this switch has no way out: neither a condition nor defaultNext"
        findings.error(Code.SWITCH_WITHOUT_WAY_OUT, place, message, "add conditions or defaultNext")


def _check_reached(findings: Findings, states: list[tuple[str, Object]], start: Any, known: dict[str, str]) -> None:
    if not states or (start is not None and (not isinstance(start, str) or start not in known)):
        return
    by_place = dict(states)
    pending = [known[start] if start is not None else states[0][0]]
    reached: set[str] = set()
    while pending:
        place = pending.pop()
        if place not in reached:
            reached.add(place)
            pending.extend(known[target] for _, target in ways_on(by_place[place]) if target in known)
    for place, state in states:
        if place not in reached and place in known.values():
            message = f"no way leads to the state {state.get('name')!r}"
            findings.warning(Code.UNREACHABLE_STATE, place, message, "let another state go on to it, or remove it")


def ways_on(state: Object) -> Iterator[tuple[str, str]]:
    """List every state that may follow: `(field as a relative pointer, name)`."""
    for field in ("next", "defaultNext", "onError"):
        target = state.get(field)
        if isinstance(target, str):
            yield field, target
    conditions = state.get("conditions")
    if is_array(conditions):
        for index, condition in enumerate(conditions):
            if is_object(condition) and isinstance(condition.get("next"), str):
                yield f"conditions/{index}/next", condition["next"]
    for field, target in approval_targets(state):
        yield f"input/{field}", target
