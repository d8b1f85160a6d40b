"""The processes that chaos is made with: a System with a second runner, whose parts go and come without waiting."""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import httpx
import msgspec
from msgspec import Struct

from tests.support.system import BROKER, SERVICES, System

SECOND_RUNNER = "agent-runner-2"
PARTS = (BROKER, *SERVICES, SECOND_RUNNER)
STOP_SECONDS = 15.0
SHOWN = 3000
"""Of a log, its last so many characters."""


class Fall(Struct, frozen=True):
    """A process that ended although nobody had touched it, or did not although it was told to."""

    name: str
    what: str
    log: str


class Fleet(System):
    """Every part by name. A part is up, frozen, or down; what is down stays down until `spawn`."""

    _folders: ClassVar[Mapping[str, str]] = {SECOND_RUNNER: "data-2"}

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(directory, settings=settings)
        self.directory = directory
        self.frozen: set[str] = set()
        self._ending: dict[str, float] = {}
        self._bad_ends: list[Fall] = []

    def up(self, name: str) -> bool:
        """Whether it runs now; one that is frozen, or was told to stop and has not ended yet, does."""
        return name in self.pids

    def spawn(self, name: str) -> None:
        """Start it; the broker is ready then, a service will be."""
        if name == BROKER:
            self.nats.start()
        else:
            self._spawn(name)

    def spawn_all(self) -> None:
        """Start whatever is down."""
        for name in PARTS:
            if not self.up(name):
                self.spawn(name)

    def kill(self, name: str) -> None:
        """SIGKILL, whatever it does now."""
        self.frozen.discard(name)
        self._ending.pop(name, None)
        super().kill(name)

    def kill_everything(self) -> None:
        """SIGKILL to everything at once."""
        self.frozen.clear()
        self._ending.clear()
        self.kill_all()

    def wipe(self) -> None:
        """Delete what JetStream stored; the broker must be down."""
        assert not self.nats.running
        shutil.rmtree(self.nats.store, ignore_errors=True)

    def freeze(self, name: str) -> int:
        """SIGSTOP; the pid, by which it is let go on."""
        pid = self.pids[name]
        os.kill(pid, signal.SIGSTOP)
        self.frozen.add(name)
        return pid

    def thaw(self, name: str, pid: int) -> bool:
        """SIGCONT, if it is still the process that was frozen."""
        if self.pids.get(name) != pid or name not in self.frozen:
            return False
        os.kill(pid, signal.SIGCONT)
        self.frozen.discard(name)
        return True

    def tell_to_stop(self, name: str) -> None:
        """SIGTERM; `stopping` says when it has obeyed. The broker obeys at once."""
        if name == BROKER:
            self.frozen.discard(name)
            self.nats.stop()
            return
        os.kill(self.pids[name], signal.SIGTERM)
        self._ending[name] = time.monotonic() + STOP_SECONDS

    def stopping(self, name: str) -> bool:
        """Whether a service that was told to stop is still there."""
        if name in self._ending and (code := self._processes[name].poll()) is not None:
            self._processes.pop(name)
            self._ending.pop(name)
            self.frozen.discard(name)
            if code not in {0, -signal.SIGTERM}:  # before it listens to signals, it ends by this one
                self._bad_ends.append(self._fall(name, f"ended with exit code {code} after SIGTERM"))
        return name in self._ending

    def fallen(self) -> list[Fall]:
        """Services that ended by themselves, or did not end when told to, since the last look; they are down now."""
        found, self._bad_ends = self._bad_ends, []
        for name, process in list(self._processes.items()):
            code, deadline = process.poll(), self._ending.get(name)
            if deadline is None and code is not None:
                self._processes.pop(name)
                found.append(self._fall(name, f"ended with exit code {code}"))
            elif deadline is not None and code is None and time.monotonic() > deadline and name not in self.frozen:
                self.kill(name)
                found.append(self._fall(name, f"did not end within {STOP_SECONDS} s of SIGTERM"))
        return found

    def crashes(self) -> list[str]:
        """Every traceback in a log, a line each; what a killed process was writing may be half a line."""
        lines = [(name, line) for name in PARTS if name != BROKER for line in self.log_of(name).splitlines()]
        return [f"{name}: {line[-SHOWN:]}" for name, line in lines if "Traceback (most recent call last)" in line]

    def _fall(self, name: str, what: str) -> Fall:
        return Fall(name, what, self.log_of(name)[-SHOWN:])

    def readyz(self, name: str) -> httpx.Response | None:
        with contextlib.suppress(OSError, msgspec.MsgspecError, httpx.TransportError, KeyError):
            where = msgspec.json.decode(self._where(name).read_bytes())
            if where["pid"] == self._processes[name].pid:
                return httpx.get(f"{where['url']}/readyz", timeout=5)
        return None

    def _where(self, name: str) -> Path:
        folder = self.directory / self._folders.get(name, "data")
        return folder / "run" / f"{name.removesuffix('-2')}.json"

    def _module(self, name: str) -> str:
        return super()._module(name.removesuffix("-2"))

    def _environment(self, name: str) -> dict[str, str]:
        found = super()._environment(name.removesuffix("-2"))
        found["STATION_DATA_DIR"] = str(self.directory / self._folders.get(name, "data"))
        if name.startswith("agent-runner"):
            found["STATION_RUNNER_ID"] = name
        return found
