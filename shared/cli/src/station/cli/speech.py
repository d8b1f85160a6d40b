"""What the agents of a run say while they work, as lines for a person. Pure; nothing of it is kept for ever."""

from collections import defaultdict, deque
from typing import Any

from station.cli.output import compact, plain
from station.contracts.progress import AgentProgress

KEPT_LINES = 20
LONG_ARGUMENTS = 160
LONG_REASON = 300
LONG_RESULT = 80
UNTOLD = "… the rest of what it says is not shown"


class Speech:
    """Feed it what is heard; it gives the lines that have become whole, and knows the last ones of every step."""

    def __init__(self) -> None:
        """Nothing was said."""
        self._lines: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=KEPT_LINES))
        self._unfinished: dict[str, tuple[str, str]] = {}
        """By step: who speaks, and the line that is not whole yet."""
        self._own: dict[str, str] = {}
        """By step: its own agent, which spoke first; others are those it called."""

    def hear(self, said: AgentProgress) -> list[str]:
        """The lines that this makes whole."""
        self._own.setdefault(said.step_id, said.agent)
        lines = self._text(said) if said.kind == "text" and said.text else self._fact(said)
        self._lines[said.step_id].extend(lines)
        return lines

    def last(self, step_id: str, count: int) -> list[str]:
        """The last lines of a step, also the one that is not whole."""
        if step_id not in self._own:
            return []
        speaker, unfinished = self._unfinished.get(step_id, ("", ""))
        lines = [*list(self._lines[step_id]), *([self._by(step_id, speaker, unfinished)] if unfinished else [])]
        return lines[-count:]

    def _text(self, said: AgentProgress) -> list[str]:
        speaker, unfinished = self._unfinished.get(said.step_id, ("", ""))
        before = [] if speaker in ("", said.agent) else self._rest(said.step_id)
        text = (unfinished if speaker == said.agent else "") + (said.text or "")
        *whole, rest = text.split("\n")
        self._unfinished[said.step_id] = (said.agent, rest)
        return [*before, *(self._by(said.step_id, said.agent, line) for line in whole if line.strip())]

    def _fact(self, said: AgentProgress) -> list[str]:
        fact = _fact_text(said)
        if said.kind == "finished" and said.agent != self._own[said.step_id]:
            fact = f"✘ {said.text}" if said.is_error else "done"
        return [*self._rest(said.step_id), *([self._by(said.step_id, said.agent, fact)] if fact else [])]

    def _rest(self, step_id: str) -> list[str]:
        """What is not whole, as a line: something else follows."""
        speaker, unfinished = self._unfinished.pop(step_id, ("", ""))
        return [self._by(step_id, speaker, unfinished)] if unfinished.strip() else []

    def _by(self, step_id: str, speaker: str, line: str) -> str:
        who = "" if speaker == self._own[step_id] else f"[{speaker}] "
        return plain(f"{who}{line}".replace("\r", "").replace("\t", "  "))


def _fact_text(said: AgentProgress) -> str:
    """What is to be read of anything but a text; how the step ends and what it used is told by its event."""
    if said.kind == "tool_call":
        return f"→ {said.tool} {_short(compact(said.arguments), LONG_ARGUMENTS)}"
    if said.kind == "tool_result":
        return f"← failed: {_reason(said.result)}" if said.is_error else f"← {_result_text(said.result)}"
    if said.kind == "retry":
        return f"tries again: {said.text}"
    return UNTOLD if said.kind == "text" and said.truncated else ""


def _reason(result: Any) -> str:
    """Why a call failed, in one line: a long reason is cut, for its beginning says most."""
    text = result if isinstance(result, str) else compact(result)
    return _short(" ".join(text.split()), LONG_REASON)


def _result_text(result: Any) -> str:
    """A short result as it is, of a long one how long it is."""
    text = result if isinstance(result, str) else compact(result)
    lines = text.strip().count("\n") + 1
    if lines > 1:
        return f"{lines} lines"
    return text.strip() if len(text) <= LONG_RESULT else f"{len(text)} characters"


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
