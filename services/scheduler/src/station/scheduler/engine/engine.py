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
from station.runtime import metrics
from station.runtime.errors import StationError
from station.runtime.failpoints import hit
from station.runtime.logging import get_logger
from station.scheduler.engine import record
from station.scheduler.engine.chain import StoredEvent
from station.scheduler.engine.record import Outgoing
from station.scheduler.engine.runs import Runs, Slot
from station.scheduler.store.writer import Unit, Writer

log = get_logger("engine")

WATCHERS_FAILED = metrics.counter("watchers_failed_total", "Commits that a part of the scheduler failed to follow.")


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
        slot = await self.ready(run_id)
        decision, turn = self._decide(slot, message)
        if decision.evaluations:
            slot.hold()
            return await self._finish_evaluated(slot, turn, also)
        return await self._told(*self._store(slot, decision, also))

    async def ready(self, run_id: str) -> Slot:
        """Give a run that nobody holds. It is the one that the next turn works on, until the caller's next pause.

        Raises UnknownRun.
        """
        slot = await self.runs.get(run_id)
        await slot.free()
        while slot.dropped:
            slot = await self.runs.get(run_id)
            await slot.free()
        return slot

    async def submit_many(self, pairs: Sequence[tuple[str, messages.AnyMessage]]) -> list[Decision | Exception]:
        """Have many messages decided, and stored together as far as the writer can; one answer each, in order.

        Each turn is a unit of its own: what the store refuses of one run costs the others nothing.
        """
        slots = [await self._slot_or_error(run_id) for run_id, _ in pairs]
        answers: list[Exception | asyncio.Future[Decision]] = []
        for slot, (run_id, message) in zip(slots, pairs, strict=True):
            if isinstance(slot, Exception):
                answers.append(slot)
            elif slot.dropped or slot.held:
                answers.append(asyncio.ensure_future(self.submit(run_id, message)))
            else:
                answers.append(self._decide_now(slot, message))
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
            await self._told(*self._store(slot, decision, also))
        return slot

    def _decide_now(self, slot: Slot, message: messages.AnyMessage) -> Exception | asyncio.Future[Decision]:
        try:
            decision, turn = self._decide(slot, message)
            if decision.evaluations:
                slot.hold()
                return asyncio.ensure_future(self._finish_evaluated(slot, turn, None))
            return self._told(*self._store(slot, decision))
        except Exception as error:  # noqa: BLE001 - one answer each
            return error

    async def _finish_evaluated(self, slot: Slot, turn: Turn, also: Also | None) -> Decision:
        """Have the turn's evaluations answered, then store it. The slot is held on entry."""
        try:
            while turn.decision.evaluations:
                asked, turn.decision.evaluations = turn.decision.evaluations, []
                for evaluation in asked:
                    resume_evaluated(turn, await self._evaluate(evaluation))
            stored = self._store(slot, turn.decision, also)
        except BaseException:
            self.runs.drop(slot)
            raise
        finally:
            slot.release()
        return await self._told(*stored)

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

    def _store(self, slot: Slot, decision: Decision, also: Also | None = None) -> tuple[asyncio.Future[None], Move]:
        """Hand a turn to the writer. What cannot even be written down drops the run: memory is ahead of the store."""
        if slot.dropped:  # while an evaluation was under way
            raise NotStored("An earlier turn of the run was not stored, so this one does not count: send it again.")
        unit = Unit()
        try:
            move = self._stage(unit, slot, decision, also)
        except BaseException:
            log.exception("turn_not_written_down", run_id=slot.run.run_id)
            self.runs.drop(slot)
            raise
        slot.pending += 1
        return self.writer.submit(unit), move

    def _stage(self, unit: Unit, slot: Slot, decision: Decision, also: Also | None) -> Move:
        run, now = slot.run, self._now()
        steps: list[Step] = []
        events: list[StoredEvent] = []
        if decision.events:
            before = slot.last_hash
            events = record.seal_events(decision, before)
            slot.last_hash = events[-1].hash
            if isinstance(decision.events[0].data, RunCreated):
                record.record_creation(unit, run, slot.last_hash)
            else:
                record.record_move(unit, run, slot.last_hash, before)
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

    def _told(self, committed: asyncio.Future[None], move: Move) -> asyncio.Future[Decision]:
        """Give the decision once it is on disk and told. Whoever waits may go away: what follows the commit does not.

        A callback and no task: this is once a turn, and what follows a commit never waits.
        """
        answer: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        committed.add_done_callback(lambda done: self._after(done, move, answer))
        return answer

    def _after(self, committed: asyncio.Future[None], move: Move, answer: asyncio.Future[Decision]) -> None:
        slot = move.slot
        slot.pending -= 1
        error = committed.exception()
        if error is not None:
            self.runs.drop(slot)
            log.error("commit_failed", run_id=slot.run.run_id, error=str(error), error_type=type(error).__name__)
            if not answer.done():
                failure = NotStored(f"The store did not take it: {error}. Nothing has changed; send it again.")
                failure.__cause__ = error
                answer.set_exception(failure)
            return
        self._tell(move)
        hit("scheduler.before-answer")
        if slot.run.ended is not None and slot.idle:
            self.runs.drop(slot)
        if not answer.done():
            answer.set_result(move.decision)

    def _tell(self, move: Move) -> None:
        """Tell every watcher; what one of them fails on is mended by the next sweep of reconcile."""
        for watcher in self.watchers:
            try:
                watcher.committed(move)
            except Exception:
                WATCHERS_FAILED.inc()
                log.exception("watcher_failed", watcher=type(watcher).__name__, run_id=move.outgoing.run_id)


async def _outcome(answer: asyncio.Future[Decision]) -> Decision | Exception:
    try:
        # A turn that waits for its run is a task of its own: whoever waits for its answer may go away, it may not.
        return await (asyncio.shield(answer) if isinstance(answer, asyncio.Task) else answer)
    except Exception as error:  # noqa: BLE001 - one answer each
        return error
