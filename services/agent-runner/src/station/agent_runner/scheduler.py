"""Asks the scheduler, for as long as it takes. An outage is told once when it begins and once when it is over."""

import asyncio
import random
from time import monotonic
from typing import TypeVar

from station.agent_runner import metrics
from station.runtime.bus import Bus
from station.runtime.errors import Refused, Unavailable, Undecodable
from station.runtime.logging import get_logger

log = get_logger("scheduler")
T = TypeVar("T")
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.5
SERVER_ERROR = 500
STORE_AWAY = 503


class Scheduler:
    """The scheduler, as the runner sees it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._away_since: float | None = None

    @property
    def answering(self) -> bool:
        """False from the first request without an answer to the next one with."""
        return self._away_since is None

    async def ask(self, subject: str, message: object, answer_type: type[T]) -> T:
        """Ask again until there is an answer; the pause grows to half a second.

        A scheduler whose store takes nothing now, such as on a full disk, is as good as away.

        Raises:
            Refused: the scheduler will not do this, or fails at it; whether to insist is the caller's to say.
        """
        pause = FIRST_PAUSE
        while True:
            try:
                return await self.ask_once(subject, message, answer_type)
            except Unavailable:
                pass
            except Refused as refused:
                if refused.failure.status != STORE_AWAY:
                    raise
            metrics.RETRIES.inc()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - so that runners do not come in step
            pause = min(pause * 2, LONGEST_PAUSE)

    async def ask_once(self, subject: str, message: object, answer_type: type[T], *, timeout: float = 2.0) -> T:
        """Ask one time.

        Raises:
            Unavailable: no answer; whether it was carried out is unknown.
            Refused: as for `ask`.
        """
        try:
            answer = await self._bus.request(subject, message, answer_type, timeout=timeout)
        except Unavailable as error:
            self._went_away(str(error))
            raise
        except Undecodable as error:
            # An answer from a scheduler of another make: being loud for ever is better than guessing.
            log.error("scheduler_answer_unreadable", subject=subject, detail=str(error))
            raise Unavailable(f"{subject}: {error}") from error
        except Refused:
            self._is_back()
            raise
        self._is_back()
        return answer

    def _went_away(self, detail: str) -> None:
        if self._away_since is None:
            self._away_since = monotonic()
            log.warning("scheduler_away", detail=detail)

    def _is_back(self) -> None:
        if self._away_since is not None:
            log.info("scheduler_back", away_ms=round((monotonic() - self._away_since) * 1000))
            self._away_since = None
