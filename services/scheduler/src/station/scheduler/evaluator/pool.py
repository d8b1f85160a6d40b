"""The evaluator pool: conditions in, the index of the first true one out, whatever they try.

Rules: an evaluation costs at most the hard limit; a process that had to be killed, or that died, is replaced by one
that is already warm; nothing here blocks the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import signal
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final

import msgspec

from station.core.expression_errors import evaluation_error, unknown_name
from station.core.expression_names import own_name
from station.core.expressions import IN_SIGHT
from station.scheduler.evaluator.process import Died, HelperProcess, NotStarted, start_process

HARD_LIMIT_SECONDS: Final = 0.5
STARVED_LIMIT_SECONDS: Final = 10.0
"""How long a process may take that gets no CPU: a busy machine is not the condition's fault."""
MAX_BINDINGS_BYTES: Final = 256 * 1024
_RESPAWN_SECONDS: Final = 1.0

_UNKNOWN_NAME: Final = re.compile(r"Variable `([vw]_\w+)` not found")

_logger = logging.getLogger(__name__)


class Outcome(msgspec.Struct, frozen=True):
    """What became of a list of conditions."""

    matched: int = -1
    """Index of the first true condition; -1 when none is, or when one failed."""
    problem: str | None = None
    """Why a condition failed, with the names in sight; None when none did."""
    failed: int | None = None
    """Index of the condition that failed; None when it took its process along."""


class EvaluatorPool:
    """`size` evaluations at a time, and one process more, kept warm."""

    def __init__(self, size: int = 2) -> None:
        self._size = size
        self._turns = asyncio.Semaphore(size)
        self._idle: asyncio.Queue[HelperProcess] = asyncio.Queue()
        self._running: set[HelperProcess] = set()
        self._busy: set[HelperProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()
        self.evaluations = 0
        self.failures = 0
        self.kills = 0
        self.deaths = 0
        self.starts = 0

    async def start(self) -> None:
        """Start every process. Raises NotStarted."""
        await asyncio.gather(*(self._add() for _ in range(self._size + 1)))

    async def close(self) -> None:
        """End every process; evaluations under way fail."""
        self._closing.set()
        await asyncio.gather(*self._tasks)
        await asyncio.gather(*(process.kill() for process in self._running))
        self._running.clear()

    @property
    def pids(self) -> list[int]:
        """The processes there are now."""
        return sorted(process.pid for process in self._running)

    @property
    def busy_pids(self) -> list[int]:
        """Those that are evaluating."""
        return sorted(process.pid for process in self._busy)

    async def evaluate(self, expressions: Sequence[str], bindings: Mapping[str, Any]) -> Outcome:
        """Evaluate conditions in order, up to the first true one or the first failure.

        `expressions` are `Expression.starlark`; `bindings` is what `station.core.expressions.bindings` gave for them.
        """
        self.evaluations += 1
        in_sight = list(bindings.get(IN_SIGHT, sorted(bindings)))
        body = _request(expressions, {name: value for name, value in bindings.items() if name != IN_SIGHT})
        if isinstance(body, str):
            outcome = _failure(None, body, in_sight)
        else:
            async with self._turns:
                outcome = _outcome(await self._ask(body), in_sight)
        self.failures += outcome.problem is not None
        return outcome

    async def _ask(self, body: bytes) -> dict[str, Any]:
        for _ in range(self._size + 2):  # every process there is may have been killed while idle
            try:
                return await self._ask_one(body)
            except Died as died:
                if died.how != signal.SIGKILL.name:
                    return {"problem": f"the condition crashed its evaluator ({died.how})"}
        # Killed from outside (a person, the out-of-memory killer) is no fault of the condition, unless always so.
        return {"problem": "the condition's evaluator was killed each time it was tried"}

    async def _take(self) -> HelperProcess:
        while True:
            process = await self._idle.get()
            if not process.ended:
                return process
            self.deaths += 1
            self._spawn(self._replace(process))

    async def _ask_one(self, body: bytes) -> dict[str, Any]:
        process = await self._take()
        self._busy.add(process)
        healthy = False
        try:
            answer = await self._within_limit(process, body)
            healthy = "last" not in answer
        except Died:
            self.deaths += 1
            raise
        else:
            return answer
        finally:
            self._busy.discard(process)
            if healthy:
                self._idle.put_nowait(process)
            else:
                self._spawn(self._replace(process))

    async def _within_limit(self, process: HelperProcess, body: bytes) -> dict[str, Any]:
        before = process.cpu_seconds()
        asking = asyncio.create_task(process.ask(body))
        waited = 0.0
        try:
            while not asking.done():
                await asyncio.wait((asking,), timeout=HARD_LIMIT_SECONDS)
                waited += HARD_LIMIT_SECONDS
                if not asking.done() and not _starved(process, before, waited):
                    self.kills += 1
                    return {"problem": _TOO_LONG, "last": True}
            return asking.result()
        finally:
            asking.cancel()

    async def _replace(self, process: HelperProcess) -> None:
        await process.kill()
        self._running.discard(process)
        while not self._closing.is_set():
            try:
                await self._add()
            except NotStarted:
                _logger.exception("evaluator process not started; next try in %s s", _RESPAWN_SECONDS)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), _RESPAWN_SECONDS)
            else:
                break

    async def _add(self) -> None:
        process = await start_process()
        self.starts += 1
        self._running.add(process)
        self._idle.put_nowait(process)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


_TOO_LONG: Final = f"the condition took longer than {HARD_LIMIT_SECONDS * 1000:.0f} ms and was stopped"


def _starved(process: HelperProcess, before: float | None, waited: float) -> bool:
    """Tell whether the process has hardly run, so that its time is not up yet."""
    now = process.cpu_seconds()
    if before is None or now is None or waited >= STARVED_LIMIT_SECONDS:
        return False
    return now - before < HARD_LIMIT_SECONDS / 4


def _request(expressions: Sequence[str], names: Mapping[str, Any]) -> bytes | str:
    """Encode a request, or say why not."""
    try:
        encoded = msgspec.json.encode(names)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return f"the data cannot be handed to a condition: {error}"
    if len(encoded) > MAX_BINDINGS_BYTES:
        return (
            f"the data that these conditions read is {len(encoded)} bytes of JSON, more than {MAX_BINDINGS_BYTES}; "
            "name the members they need (ctx.a.b) instead of whole objects"
        )
    return msgspec.json.encode({"conditions": expressions, "names": msgspec.Raw(encoded)})


def _outcome(answer: Mapping[str, Any], in_sight: Sequence[str]) -> Outcome:
    if "problem" not in answer:
        return Outcome(matched=answer["matched"])
    problem: str = answer["problem"]
    unknown = _UNKNOWN_NAME.search(problem)
    return _failure(
        answer.get("failed"), unknown_name(own_name(unknown[1]), in_sight) if unknown else problem, in_sight
    )


def _failure(index: int | None, problem: str, in_sight: Sequence[str]) -> Outcome:
    return Outcome(problem=str(evaluation_error(problem, in_sight)), failed=index)
