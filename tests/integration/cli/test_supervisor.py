"""The supervisor with real processes: order, readiness, restarts, stopping, locks, and no orphans whatever happens."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from station.cli.errors import CommandError
from station.cli.supervisor import system as system_module
from station.cli.supervisor.lock import DataDirectoryLock
from station.cli.supervisor.process import Child
from station.cli.supervisor.system import System, SystemState, running, wait_for_leftovers
from tests.integration.cli.children import make_system, order

CHILDREN = Path(__file__).with_name("children.py")
ROOT = Path(__file__).parents[3]


@contextlib.asynccontextmanager
async def started(system: System) -> AsyncIterator[System]:
    try:
        await system.start()
        yield system
    finally:
        await system.stop()
        system.sink.close()


def child(system: System, name: str) -> Child:
    return next(child for child in system.children if child.spec.name == name)


async def until_restarted(system: System, name: str, times: int = 1) -> None:
    one = child(system, name)
    while not (one.restarts >= times and one.ready):  # noqa: ASYNC110 - another process's doing
        await asyncio.sleep(0.01)


def state(directory: Path) -> SystemState:
    return msgspec.json.decode((directory / "run" / "stn.json").read_bytes(), type=SystemState)


def gone(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def until_gone(*pids: int) -> None:
    while not all(gone(pid) for pid in pids):
        time.sleep(0.01)


async def test_a_stage_starts_when_the_one_before_is_ready_and_stops_in_reverse(tmp_path: Path) -> None:
    system = make_system(tmp_path, [[("a", "good")], [("b", "good")], [("c", "good")]])
    async with started(system):
        assert system.ready
        assert all(one.ready for one in system.children)
        assert [service.name for service in state(tmp_path).services] == ["a", "b", "c"]
        assert state(tmp_path).ready
    assert order(tmp_path) == ["started a", "started b", "started c", "stopped c", "stopped b", "stopped a"]
    assert not (tmp_path / "run" / "stn.json").exists()


async def test_a_child_that_is_killed_comes_back_and_the_log_says_why(tmp_path: Path) -> None:
    async with started(make_system(tmp_path, [[("a", "good")], [("b", "good")]])) as system:
        before = child(system, "a").pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await until_restarted(system, "a")
        after = child(system, "a").pid
        assert after not in {None, before}
        assert child(system, "b").restarts == 0
        assert next(s for s in state(tmp_path).services if s.name == "a").pid == after
        assert any("a was killed by SIGKILL; starting it again in 0.2 s" in line for line in system.sink.tail("stn"))


async def test_a_child_that_crashes_again_and_again_is_given_ever_more_time(tmp_path: Path) -> None:
    system = make_system(tmp_path, [[("a", "good")]])
    async with started(system):
        flapping = Child(make_system(tmp_path, [[("z", "crash")]]).children[0].spec, system.sink, changed=lambda: None)
        flapping.start()
        while flapping.restarts < 3:  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.01)
        await flapping.stop(1)
    pauses = [line.split("again in ")[1].split(" s")[0] for line in system.sink.tail("stn") if "again in" in line]
    assert pauses[:3] == ["0.2", "0.4", "0.8"]


async def test_what_a_dead_child_leaves_in_its_group_goes_with_it(tmp_path: Path) -> None:
    async with started(make_system(tmp_path, [[("a", "parent")]])) as system:
        grandchild = int((tmp_path / "grandchild").read_text())
        pid = child(system, "a").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until_restarted(system, "a")
        assert gone(grandchild)
        second = int((tmp_path / "grandchild").read_text())
        assert second != grandchild
    until_gone(second)


async def test_a_child_that_ignores_sigterm_is_killed_and_the_others_still_stop_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_module, "STOP_SECONDS_EACH", 0.2)
    system = make_system(tmp_path, [[("a", "good")], [("b", "stubborn")]])
    async with started(system):
        pid = child(system, "b").pid
        assert pid is not None
    assert gone(pid)
    assert order(tmp_path)[-1] == "stopped a"
    assert any("did not stop in time" in line for line in system.sink.tail("stn"))


async def test_refused_settings_end_the_start_with_the_childs_last_words(tmp_path: Path) -> None:
    system = make_system(tmp_path, [[("a", "good")], [("b", "refuse")], [("c", "good")]])
    with pytest.raises(CommandError) as error:
        async with started(system):
            pass
    assert "b does not start: it refused its settings" in error.value.what
    assert "STATION_NONSENSE: there is no such setting" in error.value.what
    assert error.value.where == str(tmp_path / "logs" / "b.log")
    assert order(tmp_path) == ["started a", "stopped a"]


async def test_every_childs_output_is_kept_also_a_line_longer_than_any_buffer(tmp_path: Path) -> None:
    async with started(make_system(tmp_path, [[("a", "talk")]])) as system:
        file = system.sink.file("a")
        while file.read_text().count("x") < 1_000_000:  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.01)
        assert file.read_text().startswith("hello from a\n")


class Supervisor:
    """A supervisor as a process of its own, with fake children, each in a stage of its own."""

    def __init__(self, directory: Path, *children: str) -> None:
        self.directory = directory
        environ = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen([sys.executable, str(CHILDREN), str(directory), *children], env=environ)
        while not ((found := running(directory)) and found.ready):
            assert self.process.poll() is None
            time.sleep(0.01)
        self.state = found
        self.children = [pid for service in found.services if (pid := service.pid) is not None]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
def supervisors() -> Iterator[list[Supervisor]]:
    all_of_them: list[Supervisor] = []
    yield all_of_them
    for supervisor in all_of_them:
        supervisor.end()


def test_kill_9_of_the_supervisor_leaves_no_orphan_and_no_lock(tmp_path: Path, supervisors: list[Supervisor]) -> None:
    supervisor = Supervisor(tmp_path, "a=good", "b=stubborn")
    supervisors.append(supervisor)
    assert len(supervisor.children) == 2
    supervisor.process.kill()
    supervisor.process.wait()
    until_gone(*supervisor.children)
    assert running(tmp_path) is None
    successor = Supervisor(tmp_path, "a=good", "b=stubborn")
    supervisors.append(successor)
    assert set(successor.children).isdisjoint(supervisor.children)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_everything_in_order(
    tmp_path: Path, supervisors: list[Supervisor], number: signal.Signals
) -> None:
    supervisor = Supervisor(tmp_path, "a=good", "b=good")
    supervisors.append(supervisor)
    supervisor.process.send_signal(number)
    assert supervisor.process.wait() == 0
    assert order(tmp_path)[-2:] == ["stopped b", "stopped a"]
    assert running(tmp_path) is None


def test_a_second_signal_kills_at_once(tmp_path: Path, supervisors: list[Supervisor]) -> None:
    supervisor = Supervisor(tmp_path, "a=good", "b=stubborn")
    supervisors.append(supervisor)
    while supervisor.process.poll() is None:
        supervisor.process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert supervisor.process.returncode == 130
    until_gone(*supervisor.children)


def test_a_successor_waits_for_what_a_killed_supervisor_has_left(tmp_path: Path, supervisors: list[Supervisor]) -> None:
    supervisor = Supervisor(tmp_path, "a=good", "b=stubborn")
    supervisors.append(supervisor)
    supervisor.process.kill()
    wait_for_leftovers(tmp_path)
    assert all(gone(pid) for pid in supervisor.children)


def test_a_data_directory_has_one_holder_and_the_refusal_names_it(
    tmp_path: Path, supervisors: list[Supervisor]
) -> None:
    supervisor = Supervisor(tmp_path, "a=good")
    supervisors.append(supervisor)
    lock = DataDirectoryLock(tmp_path)
    with pytest.raises(CommandError) as error:
        lock.acquire()
    assert f"pid {supervisor.process.pid}" in error.value.what
    assert error.value.where == str(tmp_path)
    supervisor.process.terminate()
    assert lock.wait_until_free(30)
    lock.acquire()
    assert running(tmp_path) is not None
    lock.release()
    assert lock.holder() is None
