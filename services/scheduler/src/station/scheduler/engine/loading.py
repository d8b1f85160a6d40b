"""Runs and definitions from the store: a run is folded from its events, a definition compiled once and kept."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from station.contracts.events import EVENT_TYPES, Event, EventData
from station.core.definition import from_canonical
from station.core.evolve import create, evolve
from station.core.program import Program, compile_program
from station.core.run import Run
from station.scheduler.store.reader import Reader, Row

_RUN_EXISTS = "SELECT 1 FROM workflow_runs WHERE run_id = ?"
_PROGRAMS_KEPT = 256
_LONG_HISTORY = 1_000

EVENT_COLUMNS = "run_id, seq, type, at, step_id, actor, data, hash"
EVENTS_OF_RUN = f"SELECT {EVENT_COLUMNS} FROM workflow_run_events WHERE run_id = ? ORDER BY seq"  # noqa: S608 - our own names
_DEFINITION = "SELECT definition FROM workflow_definitions WHERE workflow_id = ? AND revision = ?"

_DECODERS: dict[str, msgspec.json.Decoder[EventData]] = {
    name: msgspec.json.Decoder(data) for name, data in EVENT_TYPES.items()
}


class UnknownRun(Exception):
    """No run has this id."""


def event_of(row: Row) -> Event:
    """Give the event that a row of ``EVENT_COLUMNS`` holds."""
    run_id, seq, name, at, step_id, actor, data, _ = row
    return Event(run_id=run_id, seq=seq, at=at, step_id=step_id, actor=actor, data=_DECODERS[name].decode(data))


def fold_rows(rows: Iterable[Row]) -> tuple[Run, str]:
    """Fold the events of a run; give it with its last hash. Every attempt is marked as stored."""
    run: Run | None = None
    last_hash = ""
    for row in rows:
        event = event_of(row)
        run = create(event) if run is None else evolve(run, event)
        last_hash = row[7]
    if run is None:
        raise UnknownRun
    for step in run.take_changes().steps.values():
        step.stored = True
    return run, last_hash


async def is_stored(reader: Reader, run_id: str) -> bool:
    """Tell whether the store has a run of this id; much quicker than folding it."""
    return await reader.keyed(_RUN_EXISTS, (run_id,)) is not None


async def load_run(reader: Reader, run_id: str) -> tuple[Run, str]:
    """Fold a run from the store. Raises UnknownRun."""
    rows = await reader.rows(EVENTS_OF_RUN, (run_id,))
    if len(rows) < _LONG_HISTORY:
        return fold_rows(rows)
    return await asyncio.to_thread(fold_rows, rows)  # others must not wait for it


class Programs:
    """Compiled definitions by workflow and revision, the most recently used ones."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._kept: OrderedDict[tuple[str, int], Program] = OrderedDict()

    def forget(self, workflow_id: str) -> None:
        """A workflow was deleted: another one of its id begins with revision 1 again."""
        for key in [key for key in self._kept if key[0] == workflow_id]:
            del self._kept[key]

    async def get(self, workflow_id: str, revision: int) -> Program:
        """Give a revision, ready to run. Raises KeyError."""
        key = (workflow_id, revision)
        program = self._kept.get(key)
        if program is not None:
            self._kept.move_to_end(key)
            return program
        row = await self._reader.row(_DEFINITION, key)
        if row is None:
            raise KeyError(key)
        program = compile_program(from_canonical(msgspec.json.decode(row[0])))
        self._kept[key] = program
        if len(self._kept) > _PROGRAMS_KEPT:
            self._kept.popitem(last=False)
        return program
