"""What a condition is given to look at: the names it uses, and no more of them than it reads.

Weakest first: members of the context root, members of the object at `dataPath`, then `ctx`, `steps`, `input`,
`value` and `result`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from station.core.expression_compilation import Expression
from station.core.expression_grammar import SPECIAL_NAMES
from station.core.expression_values import is_object

IN_SIGHT: Final = ""
"""The key under which `bindings` lists the names in sight, and only when one that is used is missing."""

_MAX_NAMES_LISTED: Final = 200  # more than is ever shown, so that a near name is found among them

RootLookup: TypeAlias = Callable[[str], Any]

# What is read below a value: members by name; None is the whole value.
_Reads: TypeAlias = "dict[str, _Reads] | None"


def bindings(
    *expressions: Expression, root_lookup: RootLookup, data_value: Any = None, has_data: bool = False
) -> dict[str, Any]:
    """Give the names that these conditions use, JSON values each; a name that is nowhere is left out.

    `root_lookup(name)` gives a member of the context root or raises LookupError; for `ctx` the whole root, as one
    object, and for `input` the run's input. It is asked for nothing that is not used. `data_value` is the value at
    `dataPath`, if `has_data`.

    Of a value only the members that are read are in the answer, so that little has to be sent to the evaluator; what
    is read whole is the context's own object, so do not change it. Objects have to be dicts.
    """
    scope = _Scope(root_lookup, data_value, has_data=has_data)
    reads = _merged_reads(expressions)
    found: dict[str, Any] = {}
    for name, below in reads.items():
        try:
            value = scope.root(below) if name == "ctx" else scope.lookup(name)
        except LookupError:
            found[IN_SIGHT] = ()
        else:
            found[name] = _narrowed(value, below)
    if IN_SIGHT in found:
        found[IN_SIGHT] = scope.names()
    return found


class _Scope:
    """Where names are looked up for one evaluation."""

    def __init__(self, root_lookup: RootLookup, data_value: Any, *, has_data: bool) -> None:
        self._root_lookup = root_lookup
        self._data = data_value
        self._has_data = has_data

    def lookup(self, name: str) -> Any:
        """Find a name, strongest place first. Raises LookupError."""
        if self._has_data and name == "value":
            return self._data
        if self._has_data and name == "result":
            return _forgiving_result(self._data)
        if name not in ("steps", "input") and is_object(self._data) and name in self._data:
            return self._data[name]
        return self._root_lookup(name)

    def root(self, below: _Reads) -> Any:
        """Give `ctx` with the members that are read, or whole where it must be."""
        if below is None or "ctx" in below:
            return self._root_lookup("ctx")
        try:
            return {name: self._root_lookup(name) for name in below}
        except LookupError:
            return self._root_lookup("ctx")

    def names(self) -> list[str]:
        """List what is in sight, members of the data first."""
        root = self._root_lookup("ctx")
        special = [name for name in SPECIAL_NAMES if self._has_data or name not in ("value", "result")]
        members = [*_identifiers(self._data), *_identifiers(root)]
        return list(dict.fromkeys([*members, *special]))[:_MAX_NAMES_LISTED]


def _forgiving_result(value: Any) -> Any:
    return value["result"] if is_object(value) and "result" in value else value


def _identifiers(value: Any) -> list[str]:
    return sorted(name for name in value if name.isidentifier()) if is_object(value) else []


def _merged_reads(expressions: Iterable[Expression]) -> dict[str, _Reads]:
    merged: dict[str, _Reads] = {}
    for expression in expressions:
        for read in expression.reads:
            below: _Reads = None
            for name in reversed(read[1:]):
                below = {name: below}
            merged[read[0]] = _joined(merged[read[0]], below) if read[0] in merged else below
    return merged


def _joined(one: _Reads, other: _Reads) -> _Reads:
    if one is None or other is None:
        return None
    joined = dict(one)
    for name, below in other.items():
        joined[name] = _joined(joined[name], below) if name in joined else below
    return joined


def _narrowed(value: Any, below: _Reads) -> Any:
    """Keep the members that are read; where one is missing, keep the names beside it for the message."""
    while below is not None and is_object(value) and "result" in below and "result" not in value:
        rest = {name: reads for name, reads in below.items() if name != "result"}
        below = _joined(rest, below["result"])
    if below is None or not is_object(value):
        return value
    kept = {name: _narrowed(value[name], reads) for name, reads in below.items() if name in value}
    if len(kept) < len(below):
        kept.update(dict.fromkeys(sorted(name for name in value if name not in kept)[:_MAX_NAMES_LISTED]))
    return kept
