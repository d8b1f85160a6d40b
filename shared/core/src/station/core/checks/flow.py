"""Which places of the context are written on every way to a state.

Places are bits of an integer, so that what is known at a state is one number and ways that meet are an
intersection. A loop only ever takes knowledge away, so the rounds come to an end.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import NamedTuple, TypeAlias

from station.contracts.actions import HUMAN_APPROVAL
from station.core.checks.actions import ON_REJECT, ON_TIMEOUT
from station.core.checks.writes import ANYWHERE, ERROR, injected, target_of
from station.core.definition import (
    Branch,
    Definition,
    Foreach,
    Inject,
    Operation,
    Parallel,
    State,
    Switch,
)
from station.core.definition import (
    Iterator as Iteration,
)
from station.core.paths import Path

Scope: TypeAlias = Definition | Branch | Iteration
"""What has states of its own."""


class Places:
    """All the places that states write, each with its bit, and who writes it."""

    def __init__(self) -> None:
        self.writers: dict[Path, list[str]] = {}
        self._bits: dict[Path, int] = {}
        self._below: dict[Path, int] = {}

    def bit(self, path: Path, writer: str | None = None) -> int:
        """Give the bit of a place, as a mask."""
        if path not in self._bits:
            mask = self._bits[path] = 1 << len(self._bits)
            for length in range(len(path)):
                self._below[path[:length]] = self._below.get(path[:length], 0) | mask
        if writer is not None:
            self.writers.setdefault(path, []).append(writer)
        return self._bits[path]

    def bits(self, paths: list[Path], writer: str | None = None) -> int:
        """Give several places as one mask."""
        mask = 0
        for path in paths:
            mask |= self.bit(path, writer)
        return mask

    def listed(self, mask: int) -> list[Path]:
        """Give the places of a mask."""
        return [path for path, bit in self._bits.items() if bit & mask]

    def holds(self, mask: int, path: Path) -> bool:
        """Tell whether a value can be read at a path once the places of the mask are written."""
        if self._plainly_holds(mask, path):
            return True
        bare = path[:1] + tuple(name for name in path[1:] if name != "result")
        return bare != path and self._plainly_holds(mask, bare)

    def covers(self, mask: int, path: Path) -> bool:
        """Tell whether a place of the mask is at a path or above it."""
        return any(self._bits.get(path[:length], 0) & mask for length in range(1, len(path) + 1))

    def _plainly_holds(self, mask: int, path: Path) -> bool:
        above = (self._bits.get(path[:length], 0) for length in range(len(path) + 1))
        return any(bit & mask for bit in above) or bool(self._below.get(path, 0) & mask)


class Flow:
    """What is known at each state of one scope, of what the scope itself has written."""

    def __init__(self, places: Places, scope: Scope, *, nested: bool) -> None:
        self.states = {state.name: state for state in scope.states}
        self.inner: dict[str, list[tuple[Scope, Flow]]] = {}
        self._places = places
        self._nested = nested
        self._start = scope.start
        self._written = {name: self._written_by(state) for name, state in self.states.items()}
        self.known = self._spread(scope.start)

    @property
    def at_end(self) -> int:
        """What is written whichever way the scope ends."""
        ends = [
            known | self._written[name]
            for name, known in self.known.items()
            if self.states[name].next is None and not isinstance(self.states[name], Switch)
        ]
        return reduce(lambda one, other: one & other, ends) if ends else 0

    def _written_by(self, state: State) -> int:
        self.inner[state.name] = [(scope, Flow(self._places, scope, nested=True)) for scope in scopes_in(state)]
        target = target_of(state, nested=self._nested)
        if target is None:
            return 0
        paths = [target]
        if isinstance(state, Inject):
            paths = injected(target, state.data)
        elif isinstance(state, Parallel):
            paths = [path for scope, flow in self.inner[state.name] for path in self._joined(target, scope, flow)]
        return self._places.bits(paths, state.name)

    def _joined(self, target: Path, scope: Scope, flow: Flow) -> list[Path]:
        branch = (*target, scope.name) if isinstance(scope, Branch) else target
        inside = self._places.listed(flow.at_end)
        return [branch] if not inside or ANYWHERE in inside else [(*branch, *path) for path in inside]

    def _spread(self, start: str) -> dict[str, int]:
        known: dict[str, int] = {start: 0} if start in self.states else {}
        ways = {
            name: [way for way in self._ways_on(state) if way[0] in self.states] for name, state in self.states.items()
        }
        pending = dict.fromkeys(known)  # first in, first out, and nobody twice: the order that needs few rounds
        while pending:
            name = next(iter(pending))
            del pending[name]
            for target, added in ways[name]:
                arriving = known[name] | added
                before = known.get(target)
                if before is None or before & arriving != before:
                    known[target] = arriving if before is None else before & arriving
                    pending[target] = None
        return known

    def ways_in(self, name: str) -> Iterator[tuple[str | None, int]]:
        """Give each way to a state: the state it comes from and what is written then; None is the scope's start."""
        if name == self._start:
            yield None, 0
        for before, known in self.known.items():
            for target, added in self._ways_on(self.states[before]):
                if target == name:
                    yield before, known | added

    def _ways_on(self, state: State) -> Iterator[tuple[str, int]]:
        written, error = self._written[state.name], self._places.bit(ERROR)
        for way in ways_on(state):
            yield way.target, (written if way.wrote else 0) | (error if way.failed else 0)


class Way(NamedTuple):
    """One way from a state to another of its scope."""

    target: str
    wrote: bool
    """Whether the state's own value is written then."""
    failed: bool
    """Whether `error` is written then."""


def ways_on(state: State) -> Iterator[Way]:
    """Give every way on from a state."""
    if state.next is not None:
        yield Way(state.next, wrote=True, failed=False)
    match state:
        case Switch():
            for target in [condition.next for condition in state.conditions] + [state.default_next]:
                if target is not None:
                    yield Way(target, wrote=False, failed=False)
        case Operation() | Parallel() | Foreach():
            if state.on_error is not None:
                yield Way(state.on_error, wrote=False, failed=True)
        case _:
            pass
    if isinstance(state, Operation) and state.action == HUMAN_APPROVAL:
        for field, words in (("onReject", ON_REJECT), ("onTimeout", ON_TIMEOUT)):
            target = state.input.get(field)
            if isinstance(target, str) and target not in words:
                yield Way(target, wrote=True, failed=field == "onTimeout")


def scopes_in(state: State) -> list[Scope]:
    """Give the branches or the iterator of a state."""
    match state:
        case Parallel():
            return list(state.branches)
        case Foreach():
            return [state.iterator]
        case _:
            return []
