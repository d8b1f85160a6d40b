"""Listens to what attempts tell while they work."""

from __future__ import annotations

from typing import Any

from station.agent_runner.held import Held
from station.agent_runner.progress import Progress
from station.contracts.progress import ProgressKind


class Told:
    """All that was told, in order."""

    def __init__(self) -> None:
        self.facts: list[tuple[str, str, dict[str, Any]]] = []
        """Kind, agent, and what was told."""

    def voice(self, held: Held, agent: str, /, *, quiet: bool) -> Progress:
        """The voice of an attempt: this one listens to all of them."""
        return self

    def say(self, kind: ProgressKind, *, agent: str, **facts: Any) -> None:
        """Keep it."""
        self.facts.append((kind, agent, facts))

    @property
    def kinds(self) -> list[str]:
        """What kinds of things were told."""
        return [kind for kind, _, _ in self.facts]

    @property
    def agents(self) -> list[str]:
        """Who spoke, each turn of theirs once."""
        speakers = [agent for _, agent, _ in self.facts]
        return [speaker for index, speaker in enumerate(speakers) if index == 0 or speakers[index - 1] != speaker]

    def text(self, agent: str) -> str:
        """What an agent's model said."""
        return "".join(facts["text"] for kind, speaker, facts in self.facts if (kind, speaker) == ("text", agent))
