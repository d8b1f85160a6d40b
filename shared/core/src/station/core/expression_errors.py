"""What can be wrong with a condition, in words a person can act on.

Both evaluators (in the process, in the child processes) build their messages here, so they read the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

MAX_NAMES_SHOWN: Final = 20
MAX_MEMBERS_SHOWN: Final = 10


class ExpressionError(ValueError):
    """A condition that cannot be run at all; `position` counts characters from 0, `problem` is the bare reason."""

    def __init__(self, problem: str, position: int) -> None:
        super().__init__(f"at character {position + 1}: {problem}")
        self.problem = problem
        self.position = position


class EvaluationError(Exception):
    """A condition that failed on the data at hand; the step fails with `expression`, never "not matched"."""


class NotCheap(EvaluationError):
    """The in-process evaluator stands back, having met text or list arithmetic: ask the evaluator pool."""


def evaluation_error(problem: str, in_sight: Iterable[str]) -> EvaluationError:
    """Join a problem and the names that were in sight."""
    return EvaluationError(f"{problem}; names in sight: {listed(in_sight, MAX_NAMES_SHOWN)}")


def unknown_name(name: str, in_sight: Iterable[str]) -> str:
    """Say that a name is not in sight, with the nearest one that is."""
    return f"unknown name {quoted(name)}{nearest(name, in_sight)}"


def missing_member(name: str, members: Iterable[str]) -> str:
    """Say that an object lacks a member, with the members it has."""
    known = sorted(members)
    has = f"the object has: {listed(known, MAX_MEMBERS_SHOWN)}" if known else "the object is empty"
    return f"no member {quoted(name)}{nearest(name, known)}; {has}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Give ` (did you mean "x"?)`, or nothing when no known name is near."""
    near = get_close_matches(name, list(known), n=1)
    return f" (did you mean {quoted(near[0])}?)" if near else ""


def listed(names: Iterable[str], limit: int) -> str:
    """Join names with commas, at most `limit` of them."""
    every = list(names)
    more = ", …" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more if every else "none"


def quoted(name: object) -> str:
    """Write a key as JSON does, so that odd characters show."""
    return json.dumps(name, ensure_ascii=False, default=str)
