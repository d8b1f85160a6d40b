"""Same principal, same key, same request: one effect, and the first answer again. Another request: refused.

The answer is stored in the transaction of the effect. Requests that are under way at the same time wait for each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from station.runtime.rpc import refuse
from station.scheduler.engine import statements as sql
from station.scheduler.engine.engine import Also
from station.scheduler.engine.runs import Slot
from station.scheduler.handlers.turns import Turns
from station.scheduler.store.reader import Reader
from station.scheduler.store.writer import Unit

T = TypeVar("T", bound=msgspec.Struct)

_FIND = "SELECT fingerprint, answer FROM idempotency_keys WHERE principal = ? AND key = ?"
_canonical = msgspec.msgpack.Encoder(order="deterministic").encode
_NOT_THE_REQUEST = ("actor", "idempotency_key", "traceparent", "principal")


class Idempotency:
    """Answers by ``(principal, key)``."""

    def __init__(self, reader: Reader, now: Callable[[], int]) -> None:
        self._reader = reader
        self._now = now
        self._turns: Turns[tuple[str, str]] = Turns()

    async def once(
        self,
        *,
        principal: str,
        key: str | None,
        request: msgspec.Struct,
        answer_type: type[T],
        view: Callable[[Slot], T],
        perform: Callable[[Also | None], Awaitable[T]],
    ) -> T:
        """Perform the request, or give the answer it had before.

        ``perform`` must pass its argument to the engine; ``view`` makes the answer that is stored with the effect.
        """
        if key is None:
            return await perform(None)
        place = (principal, key)
        async with self._turns.of(place):
            fingerprint = _fingerprint(request)
            known = await self._find(place, fingerprint, answer_type)
            if known is not None:
                return known
            return await perform(self._keep(place, fingerprint, view))

    def _keep(self, place: tuple[str, str], fingerprint: str, view: Callable[[Slot], msgspec.Struct]) -> Also:
        def add(unit: Unit, slot: Slot) -> None:
            answer = msgspec.msgpack.encode(view(slot))
            unit.add(sql.INSERT_KEY, (*place, fingerprint, answer, self._now()))

        return add

    async def _find(self, place: tuple[str, str], fingerprint: str, answer_type: type[T]) -> T | None:
        row = await self._reader.keyed(_FIND, place)
        if row is None:
            return None
        if row[0] != fingerprint:
            raise refuse(
                422,
                "idempotency_mismatch",
                f"The idempotency key {place[1]!r} was used for another request. Use a new key for a new request.",
            )
        return msgspec.msgpack.decode(row[1], type=answer_type)


def _fingerprint(request: msgspec.Struct) -> str:
    facts = {name: value for name, value in msgspec.structs.asdict(request).items() if name not in _NOT_THE_REQUEST}
    return hashlib.sha256(_canonical([type(request).__name__, facts])).hexdigest()
