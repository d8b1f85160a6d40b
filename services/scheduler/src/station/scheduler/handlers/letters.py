"""Dead letters that other services hand over: what they took from the stream and cannot use."""

from __future__ import annotations

from station.contracts.work import Done, KeepLetter
from station.runtime.rpc import RpcContext
from station.scheduler.engine.dead_letters import DeadLetters
from station.scheduler.engine.engine import NotStored
from station.scheduler.handlers import refusals


class Letters:
    """Answers ``wf.rpc.letter.keep``."""

    def __init__(self, letters: DeadLetters) -> None:
        self._letters = letters

    async def keep(self, request: KeepLetter, _: RpcContext) -> Done:
        """Keep a message; answered once it is on disk. Handed over twice, it is kept twice."""
        try:
            await self._letters.keep(request.subject, request.body, request.reason, size=request.size)
        except Exception as error:
            raise refusals.not_stored(NotStored(f"The dead letter was not stored: {error}.")) from error
        return Done()
