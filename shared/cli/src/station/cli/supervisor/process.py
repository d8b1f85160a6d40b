"""One child process that is kept running: started, its output read, started again when it dies, stopped.

Every child has a process group of its own, and on Linux the kernel kills it when this process is gone, however it went.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable

import msgspec

from station.cli.supervisor.logs import LogSink

FIRST_PAUSE, LONGEST_PAUSE, HEALTHY_SECONDS = 0.2, 5.0, 10.0
LOOK_SECONDS = 10.0
LONGEST_LINE = 256 * 1024
LAST_WORDS_SECONDS = 0.5
POLL_SECONDS = 0.05
BAD_SETTINGS = 2
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What to run, and how to see that it works."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    is_ready: Callable[[int], Awaitable[bool]]
    """Whether the process with this pid does its work."""
    is_stuck: Callable[[], Awaitable[bool]] | None = None
    """Whether it is of no use any more until it is started again, which is then done. Asked now and then."""


class NotStarted(Exception):
    """A child ended again and again, or did not become ready in time; ``reason`` says which."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} {reason}")
        self.name = name
        self.reason = reason


class Child:
    """Keeps one process running until `stop`."""

    def __init__(self, spec: ProcessSpec, sink: LogSink, changed: Callable[[], None]) -> None:
        """``changed`` is called whenever the pid or the readiness has changed."""
        self.spec = spec
        self.pid: int | None = None
        self.ready = False
        self.restarts = 0
        self._exits: list[int] = []
        self._sink = sink
        self._changed = changed
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep it running."""
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.spec.name}")

    async def until_ready(self, *, seconds: float, attempts: int) -> None:
        """Wait until it does its work.

        Raises:
            NotStarted: it refused its settings, ended ``attempts`` times, or the time is up.
        """
        deadline = time.monotonic() + seconds
        while True:
            if self._exits and (self._exits[-1] == BAD_SETTINGS or len(self._exits) >= attempts):
                raise NotStarted(self.spec.name, f"does not start: it {_how(self._exits[-1])}")
            if self.pid is not None and await self.spec.is_ready(self.pid):
                self.ready = True
                self._changed()
                return
            if time.monotonic() > deadline:
                raise NotStarted(self.spec.name, f"was not ready within {seconds:.0f} s")
            await asyncio.sleep(POLL_SECONDS)

    async def stop(self, seconds: float) -> bool:
        """SIGTERM, and SIGKILL to its group when it is still there after that time. False when it had to be killed."""
        self._stopping.set()
        in_time = True
        if (process := self._process) is not None and process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), seconds)
            except TimeoutError:
                in_time = False
                self._sink.notice("did not stop in time and is killed", "warning", process=self.spec.name)
        self.kill()
        if self._keeper is not None:
            await self._keeper
        return in_time

    def kill(self) -> None:
        """SIGKILL to the process and whatever is left of its group."""
        self._stopping.set()
        self._signal(signal.SIGKILL)

    async def _keep(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self._run_once()
            # Whatever it leaves behind in its group must not stand beside its successor.
            self._signal(signal.SIGKILL)
            self._process, self.pid, self.ready = None, None, False
            self._changed()
            if self._stopping.is_set():
                return
            self._exits.append(code)
            self.restarts += 1
            if time.monotonic() - began > HEALTHY_SECONDS:
                pause = FIRST_PAUSE
            words = f"{self.spec.name} {_how(code)}; starting it again in {pause:.1f} s"
            self._sink.notice(words, "warning", process=self.spec.name, exit_code=code)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _run_once(self) -> int:
        """The exit code of one life of the process."""
        # The pipe is our own: asyncio's would keep `wait` waiting for a grandchild that holds it open.
        read_end, write_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *self.spec.argv,
                env=self.spec.env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),
            )
        except OSError as error:
            os.close(read_end)
            self._sink.notice(f"{self.spec.name} cannot be started: {error}", "error", process=self.spec.name)
            return BAD_SETTINGS
        finally:
            os.close(write_end)
        self._process, self.pid = process, process.pid
        if self._stopping.is_set():
            self._signal(signal.SIGKILL)
        self._changed()
        reading = asyncio.create_task(self._read(read_end))
        revived = asyncio.create_task(self._mark_ready_again(process.pid)) if self._exits else None
        looking = asyncio.create_task(self._end_when_stuck(process)) if self.spec.is_stuck else None
        code = await process.wait()
        # A grandchild may hold the pipe open for ever; what the process itself wrote is there at once.
        await asyncio.wait({reading}, timeout=LAST_WORDS_SECONDS)
        await _cancel(*filter(None, (reading, revived, looking)))
        return code

    async def _end_when_stuck(self, process: asyncio.subprocess.Process) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self.spec.is_stuck is not None and await self.spec.is_stuck():
                words = f"{self.spec.name} is of no use until it is started again"
                self._sink.notice(words, "warning", process=self.spec.name)
                process.terminate()
                return

    async def _mark_ready_again(self, pid: int) -> None:
        while not await self.spec.is_ready(pid):  # noqa: ASYNC110 - only the process itself knows, and only when asked
            await asyncio.sleep(POLL_SECONDS)
        self.ready = True
        self._changed()

    async def _read(self, read_end: int) -> None:
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(read_end, "rb", buffering=0)
        )
        try:
            await self._read_lines(stream)
        finally:
            transport.close()

    async def _read_lines(self, stream: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stream.read(64 * 1024):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._sink.line(self.spec.name, line.decode(errors="replace").rstrip("\r"))
            if len(rest) > LONGEST_LINE:
                self._sink.line(self.spec.name, rest.decode(errors="replace"))
                rest = b""
        if rest:
            self._sink.line(self.spec.name, rest.decode(errors="replace"))

    def _signal(self, number: signal.Signals) -> None:
        """To the whole group; the group's id stays reserved as long as anybody is in it."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _how(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return "refused its settings" if code == BAD_SETTINGS else f"ended with exit code {code}"


def _die_with(parent: int) -> Callable[[], None] | None:
    """What a new process does before anything else: ask the kernel to kill it when its parent dies."""
    if _LIBC is None:
        return None
    prctl = _LIBC.prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return ask
