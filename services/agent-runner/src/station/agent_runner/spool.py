"""The runner's own directory: who it is, how often it has started, and results that nobody has confirmed yet.

The rule: one process per directory (flock), and a file here is whole or not there (written aside, fsync, rename).
"""

import asyncio
import errno
import fcntl
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from station.agent_runner import metrics
from station.agent_runner.batching import Batcher
from station.contracts.subjects import is_token
from station.contracts.work import StepResult
from station.runtime.errors import StationError
from station.runtime.ids import new_id
from station.runtime.logging import get_logger

log = get_logger("spool")
RESULT_GLOB = "*.*.*.result"
TODO = "free some space there, or set STATION_DATA_DIR to another place"
_TRIAL = "trial"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class SpoolError(StationError):
    """The spool directory cannot be used."""


class SpoolFull(SpoolError):
    """The disk of the spool directory has no room: it can be used once there is some."""


class Identity(Struct, frozen=True):
    """Who this runner is, across its starts, and which start this is."""

    runner: str
    boot: int


class Spool:
    """An open spool directory. Close it to let another runner have it."""

    def __init__(self, folder: Path, identity: Identity, lock: int) -> None:
        self.folder = folder
        self.identity = identity
        self._lock = lock
        self._names: set[str] = set()
        self._writer: Batcher[StepResult, OSError | None] = Batcher(self._write_all, limit=256)
        self._refused: tuple[int, str] | None = None
        """Bytes of the last result that did not go in, and why."""

    @classmethod
    def open(cls, folder: Path, runner_id: str | None = None) -> "Spool":
        """Lock the directory, and count this start.

        Raises:
            SpoolFull: there is no room on its disk.
            SpoolError: another runner has it, or it cannot be written.
        """
        lock = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _lock(folder)
            return cls(folder, _next_boot(folder / "runner.json", runner_id), lock)
        except (OSError, SpoolError) as error:
            if lock is not None:
                os.close(lock)
            if isinstance(error, SpoolError):
                raise
            if error.errno in _NO_ROOM:
                raise SpoolFull(f"the spool directory {folder} cannot be written: {error}; {TODO}") from error
            raise SpoolError(
                f"the spool directory {folder} cannot be used: {error}; "
                "make it writable for this user, or set STATION_DATA_DIR to another place"
            ) from error

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self._lock)

    async def put(self, result: StepResult) -> None:
        """Have the result on disk when this returns. Results that come together share one turn of a thread.

        Raises:
            OSError: the disk refuses it.
        """
        error = await self._writer.put(result)
        if error is not None:
            raise error

    async def trouble(self) -> str | None:
        """Why results do not go in now, and what to do; None when they do, which is tried out after a failure."""
        if self._refused is not None:
            size, why = self._refused
            try:
                await asyncio.to_thread(_write, self.folder, [(_TRIAL, bytes(size))])
                (self.folder / _TRIAL).unlink()
            except OSError:
                return f"the spool directory {self.folder} takes no results: {why}; {TODO}"
            self._refused = None
            log.info("spool_works_again", folder=str(self.folder))
        return None

    def drop(self, result: StepResult) -> None:
        """Forget a result that the scheduler has answered for; one that was never written is no error."""
        if self._forget(result):
            (self.folder / _name(result)).unlink(missing_ok=True)

    def set_aside(self, result: StepResult) -> None:
        """Keep a result that the scheduler will not take for a person to look at, out of the next start's way."""
        if self._forget(result):
            path = self.folder / _name(result)
            path.rename(path.with_suffix(".refused"))

    def load(self) -> tuple[StepResult, ...]:
        """Every result left by earlier starts. A file that cannot be read is set aside and logged."""
        found = [_read(path) for path in sorted(self.folder.glob(RESULT_GLOB))]
        results = tuple(result for result in found if result is not None)
        self._remember(results)
        return results

    async def _write_all(self, results: Sequence[StepResult]) -> Sequence[OSError | None]:
        files = [(_name(result), msgspec.msgpack.encode(result)) for result in results]
        try:
            await asyncio.to_thread(_write, self.folder, files)
        except OSError as error:
            if len(results) > 1:  # apart, what is small may still go in
                return [(await self._write_all([result]))[0] for result in results]
            self._refused = (len(files[0][1]), str(error))
            return [error]
        self._remember(results)
        metrics.SPOOLED.inc(len(results))
        return [None] * len(results)

    def _remember(self, results: Iterable[StepResult]) -> None:
        self._names.update(_name(result) for result in results)
        metrics.SPOOL_DEPTH.set(len(self._names))

    def _forget(self, result: StepResult) -> bool:
        known = _name(result) in self._names
        self._names.discard(_name(result))
        metrics.SPOOL_DEPTH.set(len(self._names))
        return known


def _name(result: StepResult) -> str:
    return f"{result.step_id}.{result.attempt}.{result.token}.result"


def _lock(folder: Path) -> int:
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise SpoolError(
            f"another agent-runner is using the spool directory {folder}; "
            "stop it, or give this one its own name with STATION_RUNNER_ID"
        ) from error
    return lock


def _next_boot(file: Path, runner_id: str | None) -> Identity:
    """Count this start on disk before anything is claimed under it."""
    if runner_id is not None and not is_token(runner_id):
        raise SpoolError(f"STATION_RUNNER_ID is {runner_id!r}; use letters, digits, `-` and `_` only, at most 128")
    try:
        last = msgspec.json.decode(file.read_bytes(), type=Identity) if file.exists() else Identity("", 0)
    except msgspec.DecodeError as error:
        raise SpoolError(f"{file} is damaged ({error}); remove it, and the runner will start under a new id") from error
    identity = Identity(runner_id or last.runner or new_id("runner"), last.boot + 1)
    _write(file.parent, [(file.name, msgspec.json.encode(identity))])
    return identity


def _write(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Several files, each whole or absent whatever happens, with one fsync of the directory for all."""
    for name, content in files:
        aside = folder / f"{name}.tmp"
        try:
            with aside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            aside.unlink(missing_ok=True)
            raise
        aside.rename(folder / name)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read(path: Path) -> StepResult | None:
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=StepResult)
    except (OSError, msgspec.DecodeError) as error:
        aside = path.with_suffix(".damaged")
        path.rename(aside)
        log.error("spool_file_damaged", file=str(aside), detail=str(error))
        return None
