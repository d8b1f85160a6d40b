"""Queries about runs: one run, lists, steps, events, health. Lists come from rows; a live run's context from memory."""

from __future__ import annotations

import msgspec

from station.contracts.health import GetHealth, Health
from station.contracts.runs import (
    EventPage,
    GetRun,
    ListEvents,
    ListRuns,
    ListSteps,
    RunPage,
    RunView,
    StepPage,
)
from station.contracts.usage import Usage
from station.runtime.bus import Bus
from station.runtime.rpc import RpcContext
from station.scheduler.engine.attempts import Attempts
from station.scheduler.engine.engine import Engine
from station.scheduler.engine.loading import EVENT_COLUMNS
from station.scheduler.engine.relay import Relay
from station.scheduler.handlers import paging, refusals, run_lists, views
from station.scheduler.handlers.waiting import OpenStep
from station.scheduler.store.reader import Reader, Row

_RUN = f"SELECT {views.SUMMARY_COLUMNS}, r.seq, r.usage FROM workflow_runs r WHERE r.run_id = ?"  # noqa: S608 - our own names
_DOCUMENT = "SELECT input, context, output FROM workflow_run_documents WHERE run_id = ?"
_OPEN = """
SELECT run_id, state_name, state_type, action, status, signal, wake_at FROM workflow_run_steps
WHERE completed_at IS NULL AND run_id IN (SELECT value FROM json_each(?)) ORDER BY run_id, entered_seq
"""
_STEPS = f"""
SELECT {views.STEP_COLUMNS} FROM workflow_run_steps
WHERE run_id = ?1 AND (entered_seq, attempt) > (?2, ?3) ORDER BY entered_seq, attempt LIMIT ?4
"""  # noqa: S608 - our own names
_STEP_COUNT = "SELECT count(*) FROM workflow_run_steps WHERE run_id = ?"
_EVENTS = f"""
SELECT {EVENT_COLUMNS} FROM workflow_run_events
WHERE run_id = ?1 AND seq > ?2 AND (?3 IS NULL OR type = ?3) ORDER BY seq LIMIT ?4
"""  # noqa: S608 - our own names
_EVENT_COUNT = "SELECT count(*) FROM workflow_run_events WHERE run_id = ?1 AND type = ?2"


class Queries:
    """Reads for the gateway and approval-service."""

    def __init__(self, *, reader: Reader, engine: Engine, relay: Relay, attempts: Attempts, bus: Bus) -> None:
        self._reader = reader
        self._engine = engine
        self._relay = relay
        self._attempts = attempts
        self._bus = bus

    async def run(self, request: GetRun, _: RpcContext) -> RunView:
        """Show one run."""
        row = await self._check(request.run_id)
        while row[10] is None:
            view = await self._live(request.run_id)
            if view is not None:
                return view
            row = await self._check(request.run_id)
        document = await self._reader.row(_DOCUMENT, (request.run_id,))
        given, context, output = document or ("{}", None, None)
        return RunView(
            **views.run_facts(row, []),
            input=msgspec.json.decode(given),
            context=msgspec.json.decode(context or "{}"),
            output=None if output is None else msgspec.json.decode(output),
            last_seq=row[12],
            usage=None if row[13] is None else msgspec.json.decode(row[13], type=Usage),
        )

    async def _live(self, run_id: str) -> RunView | None:
        """Show a run as it is on disk, with nothing that may still fail; None if it left memory meanwhile."""
        slot = await self._engine.ready(run_id)
        view = views.run_view(slot.run)
        if not slot.pending:
            return view
        taken = msgspec.msgpack.decode(msgspec.msgpack.encode(view), type=RunView)  # the run moves on meanwhile
        await self._engine.writer.barrier()
        return None if slot.dropped else taken

    async def runs(self, request: ListRuns, _: RpcContext) -> RunPage:
        """Show runs, newest first."""
        rows, total = await run_lists.page(self._reader, request)
        shown = paging.fitting(rows[: request.limit], (4, 6), self._bus)
        open_by_run = await self._open([row[0] for row in shown if row[10] is None])
        return RunPage(
            items=tuple(views.run_summary(row, open_by_run.get(row[0], [])) for row in shown),
            next_cursor=f"{shown[-1][8]}.{shown[-1][0]}" if len(rows) > len(shown) else None,
            total=total,
        )

    async def steps(self, request: ListSteps, _: RpcContext) -> StepPage:
        """Show every attempt of a run, in the order in which states were entered."""
        await self._check(request.run_id)
        after = paging.pair(request.cursor)
        rows = await self._reader.rows(_STEPS, (request.run_id, *after, request.limit + 1))
        total = await self._reader.row(_STEP_COUNT, (request.run_id,))
        shown = paging.fitting(rows[: request.limit], (9, 10, 11), self._bus)
        return StepPage(
            items=tuple(views.step_view(row) for row in shown),
            next_cursor=f"{shown[-1][16]}.{shown[-1][6]}" if len(rows) > len(shown) else None,
            total=total[0] if total else 0,
        )

    async def events(self, request: ListEvents, _: RpcContext) -> EventPage:
        """Show a run's events in order."""
        run = await self._check(request.run_id)
        rows = await self._reader.rows(_EVENTS, (request.run_id, request.after, request.type, request.limit + 1))
        shown = paging.fitting(rows[: request.limit], (6,), self._bus)
        total = run[12]
        if request.type is not None:
            counted = await self._reader.row(_EVENT_COUNT, (request.run_id, request.type))
            total = counted[0] if counted else 0
        return EventPage(
            items=tuple(views.event_view(row) for row in shown),
            next_cursor=str(shown[-1][1]) if len(rows) > len(shown) else None,
            total=total,
        )

    async def health(self, _: GetHealth, __: RpcContext | None = None) -> Health:
        """Say how the scheduler is doing."""
        trouble = self._relay.store.trouble
        return Health(
            service="scheduler",
            ready=trouble is None,
            detail=trouble,
            facts={
                "outboxDepth": self._relay.depth,
                "streamsRefused": len(self._relay.store.troubles),
                "stepsHeld": len(self._attempts.leases),
                "stepsUnclaimed": len(self._attempts.dispatches),
            },
        )

    async def _check(self, run_id: str) -> Row:
        row = await self._reader.row(_RUN, (run_id,))
        if row is None:
            raise refusals.run_not_found(run_id)
        return row

    async def _open(self, run_ids: list[str]) -> dict[str, list[OpenStep]]:
        found: dict[str, list[OpenStep]] = {}
        if run_ids:
            for run_id, *facts in await self._reader.rows(_OPEN, (msgspec.json.encode(run_ids).decode(),)):
                found.setdefault(run_id, []).append(OpenStep(*facts))
        return found
