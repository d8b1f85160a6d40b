"""The part of the outbox that is not in memory: what an earlier scheduler left, what came while the broker was away.

Rows are read in the order of their ids, a page at a time, so that memory stays bounded however long the broker is gone.
"""

from __future__ import annotations

import msgspec

from station.runtime import telemetry
from station.scheduler.engine.chain import StoredEvent
from station.scheduler.engine.record import Outgoing, TaskMessage
from station.scheduler.store.reader import Reader

_PAGE = 256
_RANGE = "SELECT id, created_at, (SELECT max(id) FROM outbox) FROM outbox ORDER BY id LIMIT 1"
_TURNS = """
SELECT o.id, o.run_id, o.messages, o.created_at, (
    SELECT json_extract(e.data, '$.traceparent') FROM workflow_run_events e WHERE e.run_id = o.run_id AND e.seq = 1)
FROM outbox o WHERE o.id > ? ORDER BY o.id LIMIT ?
"""
_EVENTS = """
SELECT o.id, e.run_id, e.seq, e.type, e.at, e.step_id, e.actor, e.data, e.hash FROM outbox o
JOIN workflow_run_events e ON e.run_id = o.run_id AND e.seq BETWEEN o.first_seq AND o.last_seq
WHERE o.id BETWEEN ? AND ? ORDER BY o.id, e.seq
"""

_tasks = msgspec.msgpack.Decoder(list[TaskMessage])


class Backlog:
    """Rows above ``read_to``, up to ``until``: they are on disk and yet to be read."""

    def __init__(self) -> None:
        self._reader: Reader | None = None
        self._read_to = 0
        self._until = 0
        self._since = 0
        """When the oldest of them was committed, or one before it."""

    async def load(self, reader: Reader) -> None:
        """Look what an earlier scheduler has left."""
        self._reader = reader
        first, self._since, self._until = await reader.row(_RANGE) or (1, 0, 0)
        self._read_to = first - 1

    @property
    def waiting(self) -> bool:
        """Whether rows are yet to be read."""
        return self._read_to < self._until

    @property
    def depth(self) -> int:
        """How many at most."""
        return self._until - self._read_to

    @property
    def since(self) -> int | None:
        """When the oldest was committed, milliseconds since 1970; None if there are none."""
        return self._since if self.waiting else None

    def leave(self, identity: int, created_at: int) -> bool:
        """Leave a stored turn on disk until its turn comes; False if it has been read already."""
        if identity <= self._read_to:
            return False
        if not self.waiting:
            self._since = created_at
        self._until = max(self._until, identity)
        return True

    def skip(self, identity: int) -> None:
        """A turn is in memory: nothing up to it is to be read. Only while nothing is waiting."""
        self._read_to = self._until = max(self._until, identity)

    async def page(self) -> list[Outgoing]:
        """Read the next turns."""
        if self._reader is None:
            return []
        rows = await self._reader.rows(_TURNS, (self._read_to, _PAGE))
        if not rows:
            self._read_to = self._until
            return []
        first, last = rows[0][0], rows[-1][0]
        events: dict[int, list[StoredEvent]] = {row[0]: [] for row in rows}
        for identity, run_id, seq, name, at, step_id, actor, data, value in await self._reader.rows(
            _EVENTS, (first, last)
        ):
            events[identity].append(StoredEvent(run_id, seq, name, at, step_id, actor, data.encode(), value))
        self._read_to, self._until, self._since = last, max(self._until, last), rows[-1][3]
        return [
            Outgoing(
                id=identity,
                run_id=run_id,
                events=events[identity],
                tasks=_tasks.decode(body),
                trace_id=telemetry.trace_id_of(run_id, traceparent),
                created_at=created_at,
            )
            for identity, run_id, body, created_at, traceparent in rows
        ]
