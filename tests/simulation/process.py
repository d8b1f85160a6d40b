"""A process of the simulation: an event loop on the clock of the world that may die at any await.

Real coroutines, tasks, futures and timeouts run on it, one callback after the other. Between any two callbacks, which
is at any await that waits for something, the process can be made to die: nothing of it runs any more after that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any, TypeVar

from tests.simulation.world import World

T = TypeVar("T")
_KEPT = 512


class Process(asyncio.AbstractEventLoop):
    """One life of a process: from its start to its death there is one loop."""

    def __init__(self, world: World, name: str, on_death: Callable[[], None] = lambda: None) -> None:
        self._world = world
        self._name = name
        self._on_death = on_death
        self._ready: deque[asyncio.Handle] = deque()
        self._pumping = False
        self._tasks: list[asyncio.Task[Any]] = []
        self._fuse: int | None = None
        self._frozen_until = 0
        self.dead = False

    # Life and death

    def die_within(self, steps: int) -> None:
        """Die after so many callbacks from now on, wherever that is."""
        if self._fuse is None:
            self._fuse = self._world.random.randrange(1, steps + 1)

    def die(self) -> None:
        """Be gone, as after SIGKILL."""
        if self.dead:
            return
        self.dead = True
        self._ready.clear()
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # pyright: ignore[reportAttributeAccessIssue]
                with suppress(BaseException):  # what it does in its `finally` reaches nobody: the loop takes nothing
                    task.get_coro().close()  # pyright: ignore[reportOptionalMemberAccess]
        self._tasks.clear()
        self._on_death()

    def freeze(self, duration_ms: int) -> None:
        """Do nothing for a while and then go on as if no time had passed: a machine that was suspended."""
        self._frozen_until = self._world.now + duration_ms

    @property
    def frozen(self) -> bool:
        return self._world.now < self._frozen_until

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task from outside of the loop."""
        return self.create_task(work)

    def _pump(self) -> None:
        """Run what can run. Called by the world alone, so never from inside itself."""
        self._pumping = True
        if self.frozen:
            self._world.after(self._frozen_until - self._world.now, self._pump)
            return
        asyncio._set_running_loop(self)
        try:
            while self._ready:
                handle = self._ready.popleft()
                if not handle._cancelled:  # pyright: ignore[reportAttributeAccessIssue]
                    handle._run()
                    if self._fuse is not None and not self._world.calm:
                        self._fuse -= 1
                        if self._fuse <= 0:
                            self._world.troubles[f"{self._name} crash at an await"] += 1
                            break
        finally:
            asyncio._set_running_loop(None)
            self._pumping = False
        if self._fuse is not None and self._fuse <= 0:
            self.die()

    # What asyncio asks of a loop

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if not self.dead:
            self._ready.append(handle)
            if not self._pumping:
                self._pumping = True
                self._world.after(0, self._pump)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        # At least a millisecond, the step of the clock: who looks too early would look for ever.
        self._world.after(max(1, round((when - self.time()) * 1000)), lambda: self._due(handle))
        return handle

    def _due(self, handle: asyncio.TimerHandle) -> None:
        if not self.dead and not handle.cancelled():
            self._ready.append(handle)
            if not self._pumping:
                self._pump()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def time(self) -> float:
        return self._world.now / 1000

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, name=name or "", context=context)
        self._tasks.append(task)
        if len(self._tasks) > _KEPT:
            self._tasks = [one for one in self._tasks if not one.done()]
        return task

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self.dead

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A task's failure that nobody asked for; who started the task looks at it himself."""
        error = context.get("exception")
        if isinstance(error, AssertionError) and self._world.broken is None:
            self._world.broken = error
