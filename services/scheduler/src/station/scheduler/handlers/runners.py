"""Which boot of each runner is the newest. What earlier boots held is void: their process is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from station.scheduler.engine.engine import NotStored
from station.scheduler.handlers import refusals
from station.scheduler.store.reader import Reader
from station.scheduler.store.writer import Unit, Writer

_LIST = "SELECT runner, boot FROM runners"
_PUT = """
INSERT INTO runners (runner, boot, updated_at) VALUES (?, ?, ?)
ON CONFLICT (runner) DO UPDATE SET boot = excluded.boot, updated_at = excluded.updated_at
"""


class Runners:
    """Newest boots by runner."""

    def __init__(self, writer: Writer, now: Callable[[], int]) -> None:
        self._writer = writer
        self._now = now
        self._boots: dict[str, int] = {}
        self._kept: dict[str, int] = {}
        """Boots on disk, whose predecessors hold nothing any more."""
        self._environments: dict[str, frozenset[str]] = {}

    async def load(self, reader: Reader) -> None:
        """Take up what the store holds."""
        self._kept = dict(await reader.rows(_LIST))
        self._boots = dict(self._kept)

    def boot_of(self, runner: str) -> int | None:
        """Give the newest boot that is known of a runner."""
        return self._boots.get(runner)

    def environments_of(self, runner: str, boot: int) -> frozenset[str]:
        """Give the environments that a runner has announced to this scheduler; none if this is not its newest boot."""
        return self._environments.get(runner, frozenset()) if self._boots.get(runner) == boot else frozenset()

    def note_environments(self, runner: str, environments: Iterable[str]) -> None:
        """Note what a runner has announced."""
        self._environments[runner] = frozenset(environments)

    def note(self, runner: str, boot: int) -> bool:
        """Give earlier boots nothing from now on; tell whether what they held is still to be taken from them."""
        self._boots[runner] = boot
        return self._kept.get(runner) != boot

    async def keep(self, runner: str, boot: int) -> None:
        """Store a boot, once its predecessors hold nothing: a scheduler that dies before does all of it again."""
        if self._boots.get(runner) != boot:
            return  # a newer one has come meanwhile
        unit = Unit()
        unit.add(_PUT, (runner, boot, self._now()))
        try:
            await self._writer.submit(unit)
        except Exception as error:
            raise refusals.not_stored(NotStored(str(error))) from error
        self._kept[runner] = boot
