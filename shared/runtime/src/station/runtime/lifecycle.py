"""From start to exit of a process: uvloop, signals, and exit codes (0 clean, 2 a setting is wrong, 1 a crash)."""

import asyncio
import ctypes
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Any

try:
    import uvloop
except ImportError:  # not on Windows
    uvloop = None

from station.runtime.errors import SettingsError, StationError
from station.runtime.logging import get_logger

__all__ = ["Stop", "end", "fail", "run"]

log = get_logger("lifecycle")
_PR_SET_PDEATHSIG = 1
_AGAIN_SECONDS = 0.2
_REST_SECONDS = 5.0
CRASH = 1
BAD_SETTINGS = 2
_NEW_OBJECTS_BETWEEN_COLLECTIONS = 20_000


class Stop(asyncio.Event):
    """Set when the process is to end; ``failure`` says what went wrong, if anything did."""

    failure: str | None = None

    def fail(self, reason: str) -> None:
        """End the process with exit code 1: nothing here can work any more, a new start can."""
        self.failure = self.failure or reason
        self.set()


_current: ContextVar[Stop | None] = ContextVar("stop", default=None)


def fail(reason: str) -> None:
    """End the running process with exit code 1, from wherever the reason was seen; a no-op outside of `run`."""
    stop = _current.get()
    if stop is not None:
        stop.fail(reason)


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and return when all have ended; how they did stays in them.

    Again and again, for `asyncio.wait_for` (before Python 3.12) and the NATS client swallow a cancellation that meets
    what they wait for: a loop that runs for ever would go on for ever.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_SECONDS)


async def end_rest(seconds: float = _REST_SECONDS) -> None:
    """End every task but this one, also those that others make while they end.

    The NATS client is one: a connection that is closed while it is being made anew may come to stand after that.
    """
    try:
        async with asyncio.timeout(seconds):
            while left := asyncio.all_tasks() - {asyncio.current_task()}:
                await end(left)  # pyright: ignore[reportArgumentType]
    except TimeoutError:
        log.warning("tasks_left", tasks=[task.get_name() for task in asyncio.all_tasks()])


def run(main: Callable[[Stop], Awaitable[None]]) -> int:
    """Run ``main`` until it returns. SIGINT and SIGTERM set ``stop``; a second one exits at once.

    Returns the exit code. A person's error (StationError) is one clear log line, any other exception a traceback.
    """
    _die_with_parent()
    _collect_seldom()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_supervised(main))
    except KeyboardInterrupt:
        return CRASH


async def _supervised(main: Callable[[Stop], Awaitable[None]]) -> int:
    try:
        return await _outcome(main)
    finally:
        await end_rest()


async def _outcome(main: Callable[[Stop], Awaitable[None]]) -> int:
    stop = Stop()
    _current.set(stop)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _told_to_stop, stop, number)
    try:
        await main(stop)
    except SettingsError as error:  # a person reads these: what, where, what to do, and no traceback
        for problem in error.problems:
            log.error("setting_refused", setting=problem.path, detail=problem.message, hint=problem.hint)
        return BAD_SETTINGS
    except StationError as error:
        log.error("stopped_by_error", detail=str(error))
        return CRASH
    except Exception:
        log.exception("crashed")
        return CRASH
    if stop.failure is not None:
        log.error("stopped_by_error", detail=stop.failure)
        return CRASH
    return 0


def _told_to_stop(stop: Stop, number: signal.Signals) -> None:
    if stop.is_set():
        os._exit(128 + number)
    log.info("stopping", signal=number.name)
    stop.set()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    return None if uvloop is None else uvloop.new_event_loop


def _collect_seldom() -> None:
    """Look for cycles less often than every 700 new objects, and never through the code that was loaded.

    Requests under way and runs in memory are many objects and few cycles: looking at them took a sixth of the CPU.
    """
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS_BETWEEN_COLLECTIONS)


def _die_with_parent() -> None:
    """Linux kills us when `stn up` dies, however it dies: no process is left over."""
    parent = os.environ.get("STATION_PARENT_PID")
    if not parent or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        # It died before we asked.
        os.kill(os.getpid(), signal.SIGTERM)
