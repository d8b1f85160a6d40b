"""One program in a process group of its own: fed, listened to with limits, and never left running.

The rule: when the program is over, however it came to that, nothing of its group is alive.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, cast

import psutil
from msgspec import Struct

STDERR_TAIL = 2048
POLL_SECONDS = 0.02
STRAY_PIPE_SECONDS = 0.5
"""How long output is awaited from a process that left the group and still holds the pipe."""


class Finished(Struct, frozen=True, kw_only=True):
    """How the program ended and what it wrote."""

    exit_code: int
    """Negative: the number of the signal that ended it."""
    stdout: bytes
    stderr_tail: bytes
    overflowed: bool
    """It was killed because it wrote more than allowed to stdout; ``stdout`` is empty then."""


class _Listener(asyncio.SubprocessProtocol):
    """Collects what the program writes: stdout up to a limit, of stderr the tail."""

    def __init__(self, max_stdout: int, on_stderr: Callable[[bytes], None]) -> None:
        self._on_stderr = on_stderr
        self.exited = asyncio.Event()
        self.over = asyncio.Event()
        """It has exited, or has written too much."""
        self.closed = asyncio.Event()
        """Nobody can write to stdout any more."""
        self.overflowed = False
        self.stderr = bytearray()
        self._max = max_stdout
        self._size = 0
        self._chunks: list[bytes] = []

    @property
    def stdout(self) -> bytes:
        return b"".join(self._chunks)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1:
            self._keep(data)
            return
        self._on_stderr(data)
        self.stderr += data
        del self.stderr[:-STDERR_TAIL]

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._max:
            self._chunks.append(data)
        else:
            self._chunks.clear()
            self.overflowed = True
            self.over.set()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self.closed.set()

    def process_exited(self) -> None:
        self.exited.set()
        self.over.set()


class Launch(Struct, frozen=True, kw_only=True):
    """What is to be run, and within which limits."""

    command: Sequence[str]
    stdin: bytes
    cwd: Path
    env: Mapping[str, str]
    max_stdout: int
    kill_after: float
    """Seconds between SIGTERM and SIGKILL."""
    on_stderr: Callable[[bytes], None] = lambda _: None
    """Hears what it writes there, piece by piece."""


async def run_program(launch: Launch, noted: Callable[[int], AbstractContextManager[None]]) -> Finished:
    """Run a program to its end, or to ours.

    However this returns or is cancelled, the whole group has had SIGTERM, and SIGKILL ``kill_after`` seconds later.
    ``noted`` holds while processes of the group, which is its argument, may run.

    Raises:
        OSError: the program could not be started.
    """
    transport, listener = await _started(launch)
    with noted(transport.get_pid()):
        try:
            _feed(cast("asyncio.WriteTransport", transport.get_pipe_transport(0)), launch.stdin)
            await listener.over.wait()
        finally:
            await _end(transport, listener, launch.kill_after)
    return Finished(
        exit_code=transport.get_returncode() or 0,
        stdout=listener.stdout,
        stderr_tail=bytes(listener.stderr),
        overflowed=listener.overflowed,
    )


async def _started(launch: Launch) -> tuple[asyncio.SubprocessTransport, _Listener]:
    """The running program. A cancellation that comes while it starts ends it, too."""
    starting = asyncio.ensure_future(
        asyncio.get_running_loop().subprocess_exec(
            lambda: _Listener(launch.max_stdout, launch.on_stderr),
            *launch.command,
            cwd=launch.cwd,
            env=dict(launch.env),
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            await _end(*await starting, launch.kill_after)
        raise


def _feed(pipe: asyncio.WriteTransport, data: bytes) -> None:
    """Hand over the whole input; a program that does not read it, or ends before, is in its right."""
    with contextlib.suppress(OSError, RuntimeError):
        pipe.write(data)
        pipe.write_eof()


async def _end(transport: asyncio.SubprocessTransport, listener: _Listener, kill_after: float) -> None:
    """Leave nothing of the group alive, then take what is still in the pipe."""
    group = transport.get_pid()
    ending = asyncio.create_task(_end_group(group, listener, kill_after))
    try:
        await asyncio.shield(ending)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(listener.closed.wait(), STRAY_PIPE_SECONDS)
    except asyncio.CancelledError:
        # Told to stop while stopping: the rest of the grace is forfeited, not the killing.
        ending.cancel()
        _signal_group(group, signal.SIGKILL)
        raise
    finally:
        transport.close()


async def _end_group(group: int, listener: _Listener, kill_after: float) -> None:
    """SIGTERM, up to ``kill_after`` seconds of grace, SIGKILL; at once when nobody is left."""
    if _signal_group(group, signal.SIGTERM):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(kill_after):
                await listener.exited.wait()
                # What the program left behind is not our child: that it is gone can only be seen by looking.
                while _living(group):  # noqa: ASYNC110
                    await asyncio.sleep(POLL_SECONDS)
        _signal_group(group, signal.SIGKILL)
    await listener.exited.wait()
    _reap(group)


def _living(group: int) -> bool:
    """Whether a process of the group runs; one that has ended and waits for its parent to notice does not."""
    return _signal_group(group, 0) and any(_is_living_member(process, group) for process in psutil.process_iter())


def _is_living_member(process: psutil.Process, group: int) -> bool:
    try:
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.Error):
        return False


def _reap(group: int) -> None:
    """Where the runner is the first process of a container, what programs leave behind becomes its children."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass


def _signal_group(group: int, number: Literal[0] | signal.Signals) -> bool:
    """Send a signal to every process of the group; False when there is none."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # a member that has changed its user: it is there, and it is not ours to end
    return True
