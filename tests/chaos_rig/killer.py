"""Applies faults to a fleet, brings back what is down, and writes down what it did and when."""

import heapq
import itertools
import time
from collections.abc import Callable, Iterator

from msgspec import Struct

from station.runtime.clock import now_ms
from tests.chaos_rig.faults import ALL, Fault
from tests.chaos_rig.fleet import PARTS, Fall, Fleet

LOOK_SECONDS = 0.05


class Done(Struct, frozen=True):
    """A fault that was made. ``back_at``: when the victim was started again or let go on; 0 when it never was."""

    fault: Fault
    at: int
    back_at: int


class Killer:
    """Runs in the thread that lives as long as the fleet: processes die with the thread that started them."""

    def __init__(self, fleet: Fleet, faults: Iterator[Fault]) -> None:
        self.done: list[Done] = []
        self.missed = 0
        """Faults whose victim was down already."""
        self.fallen: list[Fall] = []
        self._fleet = fleet
        self._faults = faults
        self._due: list[tuple[float, int, Callable[[], bool]]] = []
        self._order = itertools.count()

    def run(self, *, until: Callable[[int, float], bool]) -> float:
        """Make faults until ``until(faults made, seconds gone)``; then bring everything back. The seconds it took."""
        started = due = time.monotonic()
        for fault in self._faults:
            due += fault.after  # from the last one's moment, not from when it was done with
            self._wait(due - time.monotonic())
            if until(len(self.done), time.monotonic() - started):
                break
            self._apply(fault)
        seconds = time.monotonic() - started
        while self._due:
            self._wait(LOOK_SECONDS)
        return seconds

    def watch(self) -> None:
        """Look whether something fell by itself, and start it again."""
        for fall in self._fleet.fallen():
            self.fallen.append(fall)
            if not self._fleet.up(fall.name):
                self._fleet.spawn(fall.name)

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            self._work_off()
            self.watch()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, LOOK_SECONDS))

    def _work_off(self) -> None:
        """Do what is due; what cannot be done yet is due again at the next look."""
        now, again = time.monotonic(), list[Callable[[], bool]]()
        while self._due and self._due[0][0] <= now:
            action = heapq.heappop(self._due)[2]
            if not action():
                again.append(action)
        for action in again:
            self._later(LOOK_SECONDS, action)

    def _later(self, seconds: float, action: Callable[[], bool]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), action))

    def _apply(self, fault: Fault) -> None:
        if fault.victim != ALL and not self._fleet.up(fault.victim):
            self.missed += 1
            return
        number = len(self.done)
        self.done.append(Done(fault, now_ms(), 0))
        match fault.kind:
            case "freeze":
                pid = self._fleet.freeze(fault.victim)
                self._later(fault.seconds, lambda: self._thaw(number, fault.victim, pid))
            case "stop":
                self._fleet.tell_to_stop(fault.victim)
                self._later(LOOK_SECONDS, lambda: self._start_after_stop(number, fault.victim))
            case "kill_all" | "kill_and_wipe_all":
                self._fleet.kill_everything()
                if fault.kind == "kill_and_wipe_all":
                    self._fleet.wipe()
                self._later(fault.seconds, lambda: self._start(number, *PARTS))
            case "kill" | "wipe":
                self._fleet.kill(fault.victim)
                if fault.kind == "wipe":
                    self._fleet.wipe()
                self._later(fault.seconds, lambda: self._start(number, fault.victim))

    def _start(self, number: int, *names: str) -> bool:
        started = [name for name in names if not self._fleet.up(name)]
        for name in started:
            self._fleet.spawn(name)
        if started:
            self._is_back(number)
        return True

    def _start_after_stop(self, number: int, name: str) -> bool:
        return not self._fleet.stopping(name) and self._start(number, name)

    def _thaw(self, number: int, name: str, pid: int) -> bool:
        if self._fleet.thaw(name, pid):
            self._is_back(number)
        return True

    def _is_back(self, number: int) -> None:
        done = self.done[number]
        self.done[number] = Done(done.fault, done.at, now_ms())
