"""Tells what an attempt is doing, for whoever watches. It never waits, never fails, and nothing depends on it."""

from __future__ import annotations

from typing import Any, Protocol

from station.contracts.progress import ProgressKind


class Progress(Protocol):
    """The voice of one attempt."""

    def say(self, kind: ProgressKind, *, agent: str, **facts: Any) -> None:
        """Tell one thing; ``facts`` are fields of `station.contracts.progress.AgentProgress`."""
        ...


class Silent:
    """Tells nobody."""

    def say(self, kind: ProgressKind, *, agent: str, **facts: Any) -> None:
        """Nothing."""


SILENT = Silent()
