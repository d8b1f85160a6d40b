"""A whole Station: starts its processes in order, keeps them running, stops them in reverse.

While it holds the data directory's lock, ``run/stn.json`` there says what runs.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from station.cli.errors import CommandError
from station.cli.supervisor.lock import DataDirectoryLock
from station.cli.supervisor.logs import LogSink
from station.cli.supervisor.process import Child, NotStarted, ProcessSpec
from station.runtime.clock import now_ms, to_rfc3339

READY_SECONDS, START_ATTEMPTS = 60.0, 3
STOP_SECONDS, STOP_SECONDS_EACH = 8.0, 5.5
LEFTOVER_SECONDS, POLL_SECONDS = 6.0, 0.05


class ServiceState(msgspec.Struct, rename="camel"):
    """One child as it is now; no pid: it waits to be started again."""

    name: str
    pid: int | None
    ready: bool
    restarts: int


class SystemState(msgspec.Struct, rename="camel"):
    """``run/stn.json``."""

    pid: int
    url: str
    ready: bool
    started_at: str
    services: tuple[ServiceState, ...]


class System:
    """One supervisor and its children."""

    def __init__(self, stages: Sequence[Sequence[ProcessSpec]], sink: LogSink, *, data_dir: Path, url: str) -> None:
        """Nothing is started yet. ``url`` is where the API will answer."""
        self.url = url
        self.ready = False
        self.sink = sink
        self._state_file = data_dir / "run" / "stn.json"
        self._started_at = to_rfc3339(now_ms())
        self._stages = [[Child(spec, sink, self._changed) for spec in stage] for stage in stages]
        self._written = b""

    @property
    def children(self) -> list[Child]:
        """All of them, in the order of their start."""
        return [child for stage in self._stages for child in stage]

    async def start(self) -> None:
        """Start every stage once the one before is ready.

        Raises:
            CommandError: a process did not start, with its last words. What was started runs on until `stop`.
        """
        for stage in self._stages:
            for child in stage:
                child.start()
            try:
                async with asyncio.TaskGroup() as group:
                    for child in stage:
                        group.create_task(child.until_ready(seconds=READY_SECONDS, attempts=START_ATTEMPTS))
            except* NotStarted as failures:
                raise self._not_started(failures) from None
        self.ready = True
        self._changed()

    async def stop(self) -> None:
        """SIGTERM one after the other, the last started first; SIGKILL to those that do not go in time."""
        deadline = time.monotonic() + STOP_SECONDS
        for child in reversed(self.children):
            await child.stop(min(max(deadline - time.monotonic(), 0.0), STOP_SECONDS_EACH))
        self._state_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """End everything at once, without a word."""
        for child in reversed(self.children):
            child.kill()
        self._state_file.unlink(missing_ok=True)

    def _not_started(self, failures: BaseExceptionGroup[NotStarted]) -> CommandError:
        first = failures.exceptions[0]
        assert isinstance(first, NotStarted)
        tail = "\n".join(f"  | {line}" for line in self.sink.tail(first.name))
        return CommandError(
            f"{first}\n{tail}" if tail else str(first),
            where=str(self.sink.file(first.name)),
            todo="its last words are above, all of them in that file",
        )

    def _changed(self) -> None:
        """Write the state file when something in it is different."""
        services = tuple(
            ServiceState(name=c.spec.name, pid=c.pid, ready=c.ready, restarts=c.restarts) for c in self.children
        )
        state = SystemState(
            pid=os.getpid(), url=self.url, ready=self.ready, started_at=self._started_at, services=services
        )
        content = msgspec.json.encode(state)
        if content == self._written:
            return
        self._written = content
        self._state_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._state_file.with_suffix(".tmp")
        draft.write_bytes(content)
        draft.replace(self._state_file)


def running(data_dir: Path) -> SystemState | None:
    """What runs on this data directory; None when nothing does. A state file without its process is not believed."""
    if (holder := DataDirectoryLock(data_dir).holder()) is None:
        return None
    state = _last_state(data_dir)
    if state is None or state.pid != holder:
        return SystemState(pid=holder, url="", ready=False, started_at="", services=())
    return state


def wait_for_leftovers(data_dir: Path, seconds: float = LEFTOVER_SECONDS) -> None:
    """Give the children of a supervisor that was killed the time to end; the kernel has told them to.

    Call it with the lock held.
    """
    state = _last_state(data_dir)
    deadline = time.monotonic() + seconds
    left = [service.pid for service in state.services if service.pid] if state else []
    while (left := [pid for pid in left if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def is_alive(pid: int) -> bool:
    """Whether there is a process with this pid."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _last_state(data_dir: Path) -> SystemState | None:
    try:
        return msgspec.json.decode((data_dir / "run" / "stn.json").read_bytes(), type=SystemState)
    except (OSError, msgspec.MsgspecError):
        return None
