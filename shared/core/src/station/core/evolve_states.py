"""How entering and leaving states changes a run: scopes begin and end, values are written, containers fill up."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from station.contracts.events import Event, StateEntered, StateExited
from station.contracts.statuses import StepStatus
from station.core.context import Hiding, Owned, lookup, write
from station.core.evolve_steps import finish, joined, touch
from station.core.lifecycle import ENDED_STEPS
from station.core.paths import parse_path
from station.core.run import Children, Closed, Run, Scope, ScopePath, Step
from station.core.tally import tally


def state_entered(run: Run, event: Event, data: StateEntered) -> None:
    """A step begins; the first one of a branch or an iteration begins its scope."""
    scope = _scope_at(run, tuple(tuple(element) for element in data.branch_path))
    scope.visits[data.state_name] = data.visit
    step = Step(
        step_id=event.step_id or "",
        attempt=1,
        entered_seq=event.seq,
        state_name=data.state_name,
        state_type=data.state_type,
        scope=scope,
        visit=data.visit,
        action=data.action,
        status=StepStatus.PENDING if data.action else StepStatus.RUNNING,
        input=data.input,
        entered_at=event.at,
        state_entered_at=event.at,
        started_at=None if data.action else event.at,
        children=_children(scope, data),
    )
    run.visited += counts(scope, data.visit)
    run.open[step.step_id] = scope.current = step
    tally(run, step, 1)
    touch(run, step)


def counts(scope: Scope, visit: int) -> bool:
    """Tell whether a visit counts towards the limit against endless loops."""
    return visit > 1 or scope.revisited or not scope.in_item


def _children(scope: Scope, data: StateEntered) -> Children | None:
    if data.parallel is not None:
        return Children(keys=data.parallel.branches, total=len(data.parallel.branches))
    if data.foreach is not None:
        plan = data.foreach
        items: Any = lookup(scope.layers, parse_path(plan.items_path)) if plan.item_count else []
        return Children(keys=None, total=plan.item_count, items=items, item_name=plan.item_name)
    return None


def _scope_at(run: Run, path: ScopePath) -> Scope:
    scope = run.scopes.get(path)
    if scope is None:
        scope = run.scopes[path] = _begin_scope(run.scopes[path[:-1]], path)
    return scope


def _begin_scope(parent: Scope, path: ScopePath) -> Scope:
    container = parent.current
    if container is None or container.children is None:
        message = f"no parallel or foreach is open around {path}"
        raise ValueError(message)
    children, key = container.children, path[-1][1]
    writes = Owned()
    layers: list[Any] = [writes]
    places = (*parent.places, container.state_name)
    index = None
    if isinstance(key, int):
        index = key
        layers.append(Hiding({children.item_name or "item": (children.items or [])[key], "index": key}))
    else:
        places = (*places, key)
    layers.extend(parent.layers)
    children.begun += 1
    children.open += 1
    return Scope(
        in_item=parent.in_item or isinstance(key, int),
        revisited=parent.revisited or container.visit > 1,
        path=path,
        key=key,
        container=container,
        writes=writes,
        layers=layers,
        places=places,
        foreach_index=index,
    )


def state_exited(run: Run, event: Event, data: StateExited) -> None:
    """A state is over: its value is written, and with no next state its scope ends."""
    step = run.open.pop(event.step_id or "")
    scope = step.scope
    scope.current = None
    tally(run, step, -1)
    if step.status not in ENDED_STEPS:
        finish(run, step, event.at, data.status)
        if step.children is not None:
            step.output = joined(step.children)
    value = step.output if data.value is UNSET else data.value
    if data.value is not UNSET:
        step.output = value
    if data.result_path is not None:
        write(scope.writes, parse_path(data.result_path), value)
    if data.error is not None and data.next is not None:
        scope.writes["error"] = {"step": step.state_name, "type": data.error.type, "message": data.error.message}
    run.closed[step.step_id] = Closed(step.attempt, step.token, step.reported)
    if data.next is None:
        scope.ending = value
        _end_scope(run, scope, data)


def _end_scope(run: Run, scope: Scope, data: StateExited) -> None:
    container = scope.container
    if container is None or container.children is None or scope.key is None:
        return
    children = container.children
    children.open -= 1
    if data.error is None:
        children.results[scope.key] = scope.writes
    else:
        children.errors[scope.key] = data.error
    del run.scopes[scope.path]
