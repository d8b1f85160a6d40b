"""Tells what an attempt is doing, for whoever watches. It never waits, never fails, and nothing depends on it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Protocol

import msgspec

from station.agent_runner import metrics
from station.agent_runner.held import Held
from station.agent_runner.redaction import Redactor
from station.contracts import subjects
from station.contracts.progress import AgentProgress, ProgressKind
from station.runtime.bus import Bus, Unavailable
from station.runtime.clock import now_ms, to_rfc3339

TEXT_SECONDS = 0.1
"""Texts of one agent are sent so far apart, or when there are `TEXT_BYTES` of them."""
TEXT_CHARACTERS = 2048
FIELD_BYTES = 8 * 1024
MOST_MESSAGES = 1000
MOST_BYTES = 1 << 20
"""Of one attempt."""
BACKLOG = 2000
"""Messages of all attempts that may wait to be sent."""


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


class Sender(Protocol):
    """Takes what is to be told, and keeps nobody waiting."""

    def send(self, subject: str, body: bytes) -> None:
        """Hand over one message."""
        ...


class Broadcaster:
    """Sends what all attempts of the process tell, as fast as the bus takes it. What it does not take is dropped."""

    def __init__(self, bus: Bus, redactor: Redactor) -> None:
        self._bus = bus
        self._redactor = redactor
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._sending: asyncio.Task[None] | None = None

    def voice(self, held: Held, agent: str, *, quiet: bool) -> Broadcast:
        """The voice of one attempt of this agent; a ``quiet`` one says that it began when it has more to say."""
        return Broadcast(self, self._redactor, held, agent, quiet=quiet)

    def send(self, subject: str, body: bytes) -> None:
        """Hand over one message."""
        if not self._bus.connected or len(self._waiting) >= BACKLOG:
            metrics.UNTOLD.inc()
            return
        self._waiting.append((subject, body))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())

    async def close(self) -> None:
        """Send what waits, if the bus is there."""
        if self._sending is not None:
            await asyncio.wait({self._sending}, timeout=1)

    async def _send(self) -> None:
        try:
            while self._waiting:
                subject, body = self._waiting.popleft()
                try:
                    await self._bus.publish(subject, body)
                except Unavailable:
                    metrics.UNTOLD.inc(1 + len(self._waiting))
                    self._waiting.clear()
        finally:
            self._sending = None


class Broadcast:
    """The voice of one attempt, heard by everybody who watches the run: struck out, cut, and not too often."""

    # Set when they change: most attempts begin, end and say nothing, and there are thousands a second.
    _began: int | None = None
    """When, as long as that is not told yet."""
    _over = False
    _number = 0
    _bytes = 0
    _speaker = ""
    _length = 0
    _timer: asyncio.TimerHandle | None = None

    def __init__(self, sender: Sender, redactor: Redactor, held: Held, agent: str, *, quiet: bool) -> None:
        self._sender = sender
        self._redactor = redactor
        self._task = held.task
        self._agent = agent
        self._quiet = quiet
        self._text: list[str] = []

    def say(self, kind: ProgressKind, *, agent: str, **facts: Any) -> None:
        """Tell one thing. Of the step's own agent the first ``started`` and the first ``finished`` count."""
        if self._over:
            return
        if kind == "text":
            self._add(agent, str(facts.get("text") or ""))
            return
        if self._text:
            self._flush(last=True)
        own = agent == self._agent
        if kind == "started" and own:
            self._begin()
            return
        if kind == "finished" and own and self._quiet and self._began is not None:
            self._over = True  # it has said nothing
            return
        self._tell(kind, agent, facts)
        self._over = self._over or (kind == "finished" and own)

    def _begin(self) -> None:
        if self._number == 0 and self._began is None:
            self._began = now_ms()
            if not self._quiet:
                self._tell_began()

    def _tell_began(self) -> None:
        began, self._began = self._began, None
        if began is not None:
            self._publish("started", self._agent, {}, began)

    def _add(self, agent: str, text: str) -> None:
        if not text:
            return
        if agent != self._speaker:
            self._flush(last=True)
            self._speaker = agent
        self._text.append(text)
        self._length += len(text)
        if self._length >= TEXT_CHARACTERS:
            self._flush(last=False)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TEXT_SECONDS, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._flush(last=False)

    def _flush(self, *, last: bool) -> None:
        """Tell the text so far. What may be the beginning of a secret waits for what follows, unless nothing does."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        text = "".join(self._text)
        settled = len(text) if last else self._redactor.settled(text)
        self._text = [text[settled:]] if settled < len(text) else []
        self._length = len(text) - settled
        struck = self._redactor.text(text[:settled])
        for start in range(0, len(struck), TEXT_CHARACTERS):
            self._tell("text", self._speaker, {"text": struck[start : start + TEXT_CHARACTERS]})

    def _tell(self, kind: ProgressKind, agent: str, facts: dict[str, Any]) -> None:
        self._tell_began()
        self._publish(kind, agent, facts, now_ms())

    def _publish(self, kind: ProgressKind, agent: str, facts: dict[str, Any], at_ms: int) -> None:
        if self._over:
            return
        self._number += 1
        body = self._encode(kind, agent, self._fitting(facts), at_ms)
        if self._number >= MOST_MESSAGES or self._bytes + len(body) > MOST_BYTES:
            self._over = True
            body = self._encode("text", agent, {"truncated": True}, at_ms)
        self._bytes += len(body)
        self._sender.send(subjects.progress(self._task.run_id), body)

    def _encode(self, kind: ProgressKind, agent: str, facts: dict[str, Any], at_ms: int) -> bytes:
        message = AgentProgress(
            run_id=self._task.run_id,
            step_id=self._task.step_id,
            attempt=self._task.attempt,
            number=self._number,
            at=to_rfc3339(at_ms),
            agent=agent,
            kind=kind,
            **facts,
        )
        return msgspec.json.encode(message)

    def _fitting(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Struck out first, then cut: half a secret would not be known."""
        fitting = dict(facts)
        for name in ("text", "arguments", "result"):
            if facts.get(name) is None:
                continue
            fitting[name], cut = _cut(self._redactor.value(_writable(facts[name])))
            if cut:
                fitting["truncated"] = True
        return fitting


def _writable(value: Any) -> Any:
    """The value if it can be written as JSON, else what Python calls it."""
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return repr(value)
    return value


def _cut(value: Any) -> tuple[Any, bool]:
    """A value, or of one that is too long the beginning as text, and whether it was too long."""
    body = value.encode() if isinstance(value, str) else msgspec.json.encode(value)
    return (body[:FIELD_BYTES].decode(errors="ignore"), True) if len(body) > FIELD_BYTES else (value, False)
