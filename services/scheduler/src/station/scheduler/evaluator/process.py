"""One helper process, seen from the scheduler: start it, ask it, kill it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import struct
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

CHILD: Final = Path(__file__).with_name("child.py")
START_SECONDS: Final = 30.0
_CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Died(Exception):
    """The process ended instead of answering; `how` names the signal or the exit code."""

    def __init__(self, returncode: int) -> None:
        self.how = signal.Signals(-returncode).name if returncode < 0 else f"exit code {returncode}"
        super().__init__(f"the evaluator process ended: {self.how}")


class NotStarted(RuntimeError):
    """The helper process cannot be started on this machine."""


class HelperProcess:
    """A running `child.py` that has said it is ready."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._input = process.stdin
        self._output = process.stdout

    @property
    def pid(self) -> int:
        """The operating system's number for it."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it is known to be gone."""
        return self._process.returncode is not None

    def cpu_seconds(self) -> float | None:
        """CPU time used so far, or None where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS

    async def ask(self, body: bytes) -> dict[str, Any]:
        """Send one request and wait for its answer. Raises Died."""
        try:
            self._input.write(struct.pack(">I", len(body)) + body)
            await self._input.drain()
            return await self._frame()
        except (ConnectionError, asyncio.IncompleteReadError):
            self._input.close()
            raise Died(await self._process.wait()) from None

    async def ready(self) -> None:
        """Wait for the first frame. Raises NotStarted."""
        try:
            hello = await asyncio.wait_for(self._frame(), START_SECONDS)
        except (TimeoutError, asyncio.IncompleteReadError):
            code = await self.kill()
            raise NotStarted(f"{CHILD} did not start (exit code {code}); run it with `python -I` to see why") from None
        if "problem" in hello:
            await self.kill()
            raise NotStarted(f"{CHILD} did not start: {hello['problem']}")

    async def kill(self) -> int:
        """End it, if it has not ended, and give its exit code (negative for a signal)."""
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)  # Process.kill would reap it behind the event loop's back
        self._input.close()
        return await self._process.wait()

    async def _frame(self) -> dict[str, Any]:
        (length,) = struct.unpack(">I", await self._output.readexactly(4))
        return msgspec.json.decode(await self._output.readexactly(length), type=dict[str, Any])


async def start_process() -> HelperProcess:
    """Start a helper with nothing of ours in its environment. Raises NotStarted."""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            str(CHILD),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
            start_new_session=True,
        )
    except OSError as error:
        raise NotStarted(f"{sys.executable} could not be started: {error}") from error
    helper = HelperProcess(process)
    await helper.ready()
    return helper
