"""Messages in, decisions out, once they are on disk. Per run the order of deciding is the order of committing.

A turn is decided and handed to the writer without a pause in between; only a turn that needs the Starlark helper
pauses, and then it holds the run's lock. Whoever asked is answered after the commit, and so is the outside told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from station.contracts.events import Event, RunCreated
from station.core import messages
from station.core.decide import decide, resume_evaluated
from station.core.decision import Decision, Evaluation
from station.core.evolve import create
from station.core.program import Limits, Program
from station.core.run import Step
from station.core.turn import Turn
from station.runtime.errors import StationError
from station.runtime.logging import get_logger
from station.scheduler.engine import record
from station.scheduler.engine.chain import StoredEvent
from station.scheduler.engine.record import Outgoing
from station.scheduler.engine.runs import Runs, Slot
from station.scheduler.store.writer import Unit, Writer

log = get_logger("engine")


class NotStored(StationError):
    """The commit failed: nothing has changed, and the same request may be sent again."""


class Move(msgspec.Struct, kw_only=True, eq=False):
    """One turn of one run, on its way to disk."""

    slot: Slot
    decision: Decision
    steps: list[Step]
    """Attempts that the turn touched."""
    outgoing: Outgoing


class Watcher(Protocol):
    """Somebody who acts on what has been committed: the relay, timers, leases, spans, metrics."""

    def committed(self, move: Move) -> None: ...


Evaluate = Callable[[Evaluation], Awaitable[messages.Evaluated]]
Also = Callable[[Unit, Slot], None]
"""Adds to the unit of a turn that was not refused, such as the answer under an idempotency key."""


class Engine:
    """Decides and commits."""

    def __init__(
        self,
        *,
        writer: Writer,
        runs: Runs,
        limits: Limits,
        now: Callable[[], int],
        evaluate: Evaluate,
        first_outbox_id: int,
    ) -> None:
        self.writer = writer
        self.runs = runs
        self.watchers: list[Watcher] = []
        self._limits = limits
        self._now = now
        self._evaluate = evaluate
        self._next_outbox_id = first_outbox_id

    async def submit(self, run_id: str, message: messages.AnyMessage, also: Also | None = None) -> Decision:
        """Have one message decided and stored, with what ``also`` adds in the same transaction.

        Raises UnknownRun, and NotStored if the store failed.
        """
        slot = await self.runs.get(run_id)
        await slot.free()
        while slot.dropped:
            slot = await self.runs.get(run_id)
            await slot.free()
        decision, turn = self._decide(slot, message)
        if decision.evaluations:
            slot.hold()
            return await self._finish_evaluated(slot, turn, also)
        unit = Unit()
        moves = [self._stage(unit, slot, decision, also)]
        await self._commit(unit, moves)
        return decision

    async def submit_many(self, pairs: Sequence[tuple[str, messages.AnyMessage]]) -> list[Decision | Exception]:
        """Have many messages decided and stored in as few transactions as can be; one answer each, in order."""
        slots = [await self._slot_or_error(run_id) for run_id, _ in pairs]
        unit, moves = Unit(), list[Move]()
        answers: list[Decision | Exception | asyncio.Future[Decision]] = []
        for slot, (run_id, message) in zip(slots, pairs, strict=True):
            if isinstance(slot, Exception):
                answers.append(slot)
            elif slot.dropped or slot.held:
                answers.append(asyncio.ensure_future(self.submit(run_id, message)))
            else:
                answers.append(self._decide_in(unit, moves, slot, message))
        try:
            await self._commit(unit, moves)
        except NotStored as failure:
            answers = [failure if isinstance(answer, Decision) else answer for answer in answers]
        return [await _outcome(answer) if isinstance(answer, asyncio.Future) else answer for answer in answers]

    async def start(self, created: Event, program: Program, also: Also | None = None) -> Slot:
        """Store a new run and take its first steps, in one transaction. Raises NotStored."""
        slot = Slot(create(created), program, "")
        self.runs.add(slot)
        decision, turn = self._decide(slot, messages.Start())
        decision.events.insert(0, created)
        if decision.evaluations:
            slot.hold()
            await self._finish_evaluated(slot, turn, also)
        else:
            unit = Unit()
            moves = [self._stage(unit, slot, decision, also)]
            await self._commit(unit, moves)
        return slot

    def _decide_in(
        self, unit: Unit, moves: list[Move], slot: Slot, message: messages.AnyMessage
    ) -> Decision | Exception | asyncio.Future[Decision]:
        try:
            decision, turn = self._decide(slot, message)
        except Exception as error:  # noqa: BLE001 - one answer each
            return error
        if decision.evaluations:
            slot.hold()
            return asyncio.ensure_future(self._finish_evaluated(slot, turn, None))
        moves.append(self._stage(unit, slot, decision))
        return decision

    async def _finish_evaluated(self, slot: Slot, turn: Turn, also: Also | None) -> Decision:
        """Have the turn's evaluations answered, then store it. The slot is held on entry."""
        try:
            while turn.decision.evaluations:
                asked, turn.decision.evaluations = turn.decision.evaluations, []
                for evaluation in asked:
                    resume_evaluated(turn, await self._evaluate(evaluation))
            unit = Unit()
            moves = [self._stage(unit, slot, turn.decision, also)]
            committed = self._send(unit, moves)
        except BaseException:
            self.runs.drop(slot)
            raise
        finally:
            slot.release()
        await asyncio.shield(asyncio.ensure_future(self._after(committed, moves)))
        return turn.decision

    async def _slot_or_error(self, run_id: str) -> Slot | Exception:
        try:
            return await self.runs.get(run_id)
        except Exception as error:  # noqa: BLE001 - one unknown run must not spoil the others' answers
            return error

    def _decide(self, slot: Slot, message: messages.AnyMessage) -> tuple[Decision, Turn]:
        try:
            return decide(slot.program, slot.run, message, self._now(), self._limits)
        except BaseException:
            log.exception("decide_crashed", run_id=slot.run.run_id, message=type(message).__name__)
            self.runs.drop(slot)
            raise

    def _stage(self, unit: Unit, slot: Slot, decision: Decision, also: Also | None = None) -> Move:
        run, now = slot.run, self._now()
        steps: list[Step] = []
        events: list[StoredEvent] = []
        if decision.events:
            first = decision.events[0]
            created = isinstance(first.data, RunCreated)
            events = record.seal_events(decision, slot.last_hash)
            slot.last_hash = events[-1].hash
            if created:
                record.record_creation(unit, run, slot.last_hash)
            else:
                record.record_move(unit, run, slot.last_hash, first.seq - 1)
            record.record_events(unit, events)
            steps = record.record_changes(unit, run)
        outgoing = Outgoing(
            id=self._next_outbox_id if events else 0,
            run_id=run.run_id,
            events=events,
            tasks=record.task_messages(run, decision, slot.trace_id),
            trace_id=slot.trace_id,
            created_at=now,
        )
        if events:
            self._next_outbox_id += 1
            record.record_outgoing(unit, outgoing)
        if also is not None and decision.refusal is None:
            also(unit, slot)
        return Move(slot=slot, decision=decision, steps=steps, outgoing=outgoing)

    def _send(self, unit: Unit, moves: list[Move]) -> asyncio.Future[None]:
        for move in moves:
            move.slot.pending += 1
        return self.writer.submit(unit)

    async def _commit(self, unit: Unit, moves: list[Move]) -> None:
        """Store, then tell. Shielded: whoever waits may go away, the commit and what follows may not."""
        committed = self._send(unit, moves)
        await asyncio.shield(asyncio.ensure_future(self._after(committed, moves)))

    async def _after(self, committed: asyncio.Future[None], moves: list[Move]) -> None:
        try:
            await committed
        except Exception as error:
            for move in moves:
                move.slot.pending -= 1
                self.runs.drop(move.slot)
            log.error("commit_failed", error=str(error), error_type=type(error).__name__, turns=len(moves))
            raise NotStored(f"The store did not take it: {error}. Nothing has changed; send it again.") from error
        for move in moves:
            move.slot.pending -= 1
            for watcher in self.watchers:
                watcher.committed(move)
            if move.slot.run.ended is not None and move.slot.idle:
                self.runs.drop(move.slot)


async def _outcome(answer: asyncio.Future[Decision]) -> Decision | Exception:
    try:
        return await answer
    except Exception as error:  # noqa: BLE001 - one answer each
        return error
