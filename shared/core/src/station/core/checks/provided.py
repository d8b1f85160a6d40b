"""What may stand at each place of the context when a state begins, on every way to it.

What a state writes never depends on what it reads, so the shape of each write is known at once. What remains is which
writes may still stand at a state: bits of an integer, joined where ways meet. Rounds and places are bounded; a
definition past the bound is one of which nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from station.contracts.actions import AGENT_RUN, HUMAN_APPROVAL, TIMER_WAIT
from station.contracts.errors import ErrorType
from station.core.checks.flow import Flow, Places, Scope, ways_on
from station.core.checks.writes import ERROR, injected, target_of
from station.core.definition import Foreach, Inject, Operation, Parallel, State, Switch
from station.core.jsonvalue import is_object
from station.core.paths import Path
from station.core.shapes import (
    UNKNOWN,
    Known,
    Member,
    Record,
    Sequence,
    Shape,
    either,
    literal,
)

_MAX_WRITES = 4000
_MAX_VISITS = 20_000
_MAX_CHOSEN = 64
_MAX_NAMES = 32

_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_ERROR = Record(
    {
        "step": Member(Known(_TEXT), always=True),
        "type": Member(Known({"enum": [one.value for one in ErrorType]}), always=True),
        "message": Member(Known(_TEXT), always=True),
    }
)
_DECISION = Record(
    {
        "approved": Member(Known({"type": "boolean"}), always=True),
        "decidedBy": Member(Known(_TEXT_OR_NULL), always=True),
        "comment": Member(Known(_TEXT_OR_NULL), always=True),
        "decidedAt": Member(Known(_TEXT_OR_NULL), always=True),
    }
)
_FIRED = Record({"firedAt": Member(Known(_TEXT), always=True)})

Outputs: TypeAlias = Callable[[str], Shape]
"""The shape of an agent's answer, by the agent's name as a definition has it."""


class Write(NamedTuple):
    """One value that a state writes."""

    path: Path
    shape: Shape
    writer: str
    """Who that is, in words."""


class Standing(NamedTuple):
    """A write that may stand where a path leads to, which goes on with `rest` inside of its value."""

    write: Write
    rest: Path


class Writes:
    """The writes of one scope, which of them may stand at each state, and the scopes inside."""

    def __init__(self, places: Places, scope: Scope, flow: Flow, outputs: Outputs, *, nested: bool) -> None:
        self.inner: dict[str, list[Writes]] = {}
        self._places = places
        self._flow = flow
        self._nested = nested
        self._bounded = True
        self._all: list[Write] = []
        self._at: dict[Path, int] = {}
        self._below: dict[Path, int] = {}
        error = 1 << self._add(Write(ERROR, _ERROR, "the state that failed"))
        new = {name: self._written_by(state, outputs) for name, state in flow.states.items()}
        self._new = {(name, failed): mask | (error if failed else 0) for name, mask in new.items() for failed in (0, 1)}
        self._new |= {("", 0): 0, ("", 1): error}
        self._gone = {key: self._replaced(mask) for key, mask in self._new.items()}
        self._reaching = self._spread(scope.start) if self._bounded else {}

    def standing(self, state: str, path: Path) -> tuple[list[Standing], list[Write]]:
        """Give the writes that may stand at a path or above it, and those that may stand below it."""
        if not self._bounded:
            return [Standing(_ANYTHING, path)], []
        mask = self._reaching.get(state, 0)
        above = [
            Standing(write, path[length:])
            for length in range(len(path) + 1)
            for write in self._chosen(self._at.get(path[:length], 0) & mask)
        ]
        return above, self._chosen(self._below.get(path, 0) & mask)

    def written(self) -> Shape:
        """Give the shape of what the scope has written when it ends."""
        if not self._bounded:
            return UNKNOWN
        mask = 0
        for name, reaching in self._reaching.items():
            state = self._flow.states[name]
            if state.next is None and not isinstance(state, Switch):
                mask |= self._after(reaching, name, failed=False)
        return gathered(self._chosen(mask), 0, partial(self._places.holds, self._flow.at_end))

    def _chosen(self, mask: int) -> list[Write]:
        if mask.bit_count() > _MAX_CHOSEN:
            return [_ANYTHING]
        chosen: list[Write] = []
        while mask:
            lowest = mask & -mask
            chosen.append(self._all[lowest.bit_length() - 1])
            mask ^= lowest
        return chosen

    def _add(self, write: Write) -> int:
        number = len(self._all)
        self._all.append(write)
        self._at[write.path] = self._at.get(write.path, 0) | 1 << number
        for length in range(len(write.path)):
            self._below[write.path[:length]] = self._below.get(write.path[:length], 0) | 1 << number
        return number

    def _written_by(self, state: State, outputs: Outputs) -> int:
        self.inner[state.name] = inner = [
            Writes(self._places, scope, flow, outputs, nested=True) for scope, flow in self._flow.inner[state.name]
        ]
        target = target_of(state, nested=self._nested)
        mask = 0
        for path, shape in () if target is None else _values(state, target, inner, outputs):
            if len(self._all) >= _MAX_WRITES or len(path) > _MAX_NAMES:
                self._bounded = False
                return 0
            mask |= 1 << self._add(Write(path, shape, f"the state {state.name!r}"))
        return mask

    def _replaced(self, new: int) -> int:
        """A write replaces all that stood at its place and below; one into the root merges and replaces nothing."""
        gone = 0
        while new:
            lowest = new & -new
            path = self._all[lowest.bit_length() - 1].path
            gone |= self._at[path] | self._below.get(path, 0) if path else 0
            new ^= lowest
        return gone

    def _after(self, mask: int, name: str, *, failed: bool) -> int:
        return mask & ~self._gone[name, failed] | self._new[name, failed]

    def _spread(self, start: str) -> dict[str, int]:
        reaching = {start: 0} if start in self._flow.states else {}
        pending, visits = dict.fromkeys(reaching), 0
        while pending:
            name = next(iter(pending))
            del pending[name]
            visits += 1
            if visits > _MAX_VISITS:
                self._bounded = False
                return {}
            for way in ways_on(self._flow.states[name]):
                if way.target not in self._flow.states:
                    continue
                arriving = self._after(reaching[name], name if way.wrote else "", failed=way.failed)
                before = reaching.get(way.target)
                if before is None or arriving & ~before:
                    reaching[way.target] = arriving | (before or 0)
                    pending[way.target] = None
        return reaching


_ANYTHING = Write((), UNKNOWN, "")


def gathered(writes: list[Write], depth: int, sure: Callable[[Path], bool]) -> Shape:
    """Put together the object that these writes make below one place, whose path has `depth` names."""
    by_name: dict[str, list[Write]] = {}
    for write in writes:
        if len(write.path) <= depth:
            return UNKNOWN
        by_name.setdefault(write.path[depth], []).append(write)
    members: dict[str, Member] = {}
    for name, group in by_name.items():
        whole = [write.shape for write in group if len(write.path) == depth + 1]
        if not whole:
            shape = gathered(group, depth + 1, sure)
        else:
            shape = either(whole) if len(whole) == len(group) else UNKNOWN
        members[name] = Member(shape, sure(group[0].path[: depth + 1]))
    return Record(members)


def _values(state: State, target: Path, inner: list[Writes], outputs: Outputs) -> Iterator[tuple[Path, Shape]]:
    match state:
        case Operation():
            shape = _answer(state, outputs)
            yield from _merged(shape) if not target else [(target, shape)]
        case Inject() if target or not is_object(state.data):
            yield target, literal(state.data)
        case Inject():
            for path in injected(target, state.data):
                yield path, literal(_at(state.data, path)) if path else UNKNOWN
        case Parallel():
            branches = zip(state.branches, inner, strict=True)
            members = {branch.name: Member(writes.written(), always=True) for branch, writes in branches}
            yield from _merged(Record(members)) if not target else [(target, Record(members))]
        case Foreach():
            yield target, Sequence(inner[0].written()) if target else UNKNOWN
        case Switch():
            pass


def _answer(state: Operation, outputs: Outputs) -> Shape:
    if state.action == AGENT_RUN:
        agent = state.input.get("agent")
        return outputs(agent) if isinstance(agent, str) else UNKNOWN
    return {HUMAN_APPROVAL: _DECISION, TIMER_WAIT: _FIRED}.get(state.action, UNKNOWN)


def _merged(shape: Shape) -> Iterator[tuple[Path, Shape]]:
    """An object that is merged into the root: what it may have is known only where the engine made it."""
    if isinstance(shape, Record):
        for name, member in shape.members.items():
            yield (name,), UNKNOWN if _may_be_object(member.shape) else member.shape
    else:
        yield (), UNKNOWN


def _may_be_object(shape: Shape) -> bool:
    return not isinstance(shape, Known) or "object" in str(shape.schema.get("type", "object"))


def _at(data: Any, path: Path) -> Any:
    for name in path:
        data = data[name]
    return data
