"""Collects everything wrong with one document, so that its author sees all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches
from functools import partial
from itertools import islice
from typing import TypeAlias

from station.contracts.problems import Problem
from station.core.codes import Code

MAX_FINDINGS = 500
MAX_HINTS = 50
"""So many hints are worked out for a document, which may have thousands of mistakes among thousands of names."""

_MAX_COMPARED = 500
_MAX_SHOWN = 12

Hint: TypeAlias = str | Callable[[], str | None] | None
"""What to do about a problem, or how to find that out."""


class Findings:
    """The errors, warnings and notes found so far, each at most `MAX_FINDINGS`, none of them twice."""

    def __init__(self) -> None:
        self._errors: dict[Problem, None] = {}
        self._warnings: dict[Problem, None] = {}
        self._notes: dict[Problem, None] = {}
        self._hints = 0

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(self._errors)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(self._warnings)

    @property
    def notes(self) -> tuple[Problem, ...]:
        return tuple(self._notes)

    def error(self, code: Code, path: str, message: str, hint: Hint = None) -> None:
        """Note what makes the document unusable."""
        self._keep(self._errors, code, path, message, hint)

    def warning(self, code: Code, path: str, message: str, hint: Hint = None) -> None:
        """Note what the author should look at."""
        self._keep(self._warnings, code, path, message, hint)

    def note(self, code: Code, path: str, message: str, hint: Hint = None) -> None:
        """Note what is probably right and could be said better."""
        self._keep(self._notes, code, path, message, hint)

    def _keep(self, kept: dict[Problem, None], code: Code, path: str, message: str, hint: Hint) -> None:
        if len(kept) < MAX_FINDINGS:
            kept[Problem(code.value, path, message, self._worked_out(hint))] = None

    def _worked_out(self, hint: Hint) -> str | None:
        if not callable(hint):
            return hint
        self._hints += 1
        return hint() if self._hints <= MAX_HINTS else None


def nearest_hint(name: str, known: Collection[str]) -> Hint:
    """Say what was probably meant, else what there is; worked out only if the problem is kept."""
    return partial(_nearest, name, known)


def near_names(name: str, known: Iterable[str]) -> list[str]:
    """Give the known name that is most like another, if one is; among very many only some are looked at."""
    alike = (other for other in known if abs(len(other) - len(name)) <= len(name) // 2)
    return get_close_matches(name, list(islice(alike, _MAX_COMPARED)), n=1, cutoff=0.6)


def _nearest(name: str, known: Collection[str]) -> str:
    near = near_names(name, known)
    if near:
        return f"did you mean {near[0]!r}?"
    if not known:
        return "there are none"
    return f"known here: {', '.join(islice(known, _MAX_SHOWN))}" + (", …" if len(known) > _MAX_SHOWN else "")
