"""Collects everything wrong with one document, so that its author sees all of it at once."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from station.contracts.problems import Problem
from station.core.codes import Code

MAX_FINDINGS = 500


class Findings:
    """The errors and warnings found so far, each at most `MAX_FINDINGS`, none of them twice."""

    def __init__(self) -> None:
        self._errors: dict[Problem, None] = {}
        self._warnings: dict[Problem, None] = {}

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(self._errors)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(self._warnings)

    def error(self, code: Code, path: str, message: str, hint: str | None = None) -> None:
        """Note what makes the document unusable."""
        if len(self._errors) < MAX_FINDINGS:
            self._errors[Problem(code.value, path, message, hint)] = None

    def warning(self, code: Code, path: str, message: str, hint: str | None = None) -> None:
        """Note what the author should look at."""
        if len(self._warnings) < MAX_FINDINGS:
            self._warnings[Problem(code.value, path, message, hint)] = None


def nearest_hint(name: str, known: Iterable[str]) -> str:
    """Say what was probably meant, else what there is."""
    names = list(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    if not names:
        return "there are none"
    shown = ", ".join(names[:12])
    return f"known here: {shown}" + (", …" if len(names) > 12 else "")
