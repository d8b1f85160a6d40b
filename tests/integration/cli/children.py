"""Makes systems of fake children, and a supervisor of them as a process of its own."""

import asyncio
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from station.cli.supervisor.foreground import run_system
from station.cli.supervisor.lock import DataDirectoryLock
from station.cli.supervisor.logs import LogSink
from station.cli.supervisor.process import ProcessSpec
from station.cli.supervisor.system import System

SCRIPT = Path(__file__).with_name("fake_child.py")


def spec(directory: Path, name: str, behaviour: str) -> ProcessSpec:
    async def is_ready(pid: int) -> bool:
        return (directory / f"{name}.{pid}").exists()

    argv = (sys.executable, "-IS", str(SCRIPT), str(directory), name, behaviour)
    return ProcessSpec(name=name, argv=argv, env=dict(os.environ), is_ready=is_ready)


def make_system(directory: Path, stages: Iterable[Iterable[tuple[str, str]]]) -> System:
    """``stages`` of (name, behaviour)."""
    sink = LogSink(directory / "logs", "none")
    specs = [[spec(directory, name, behaviour) for name, behaviour in stage] for stage in stages]
    return System(specs, sink, data_dir=directory, url="http://127.0.0.1:1")


def order(directory: Path) -> list[str]:
    """``started a``, ``stopped a`` …, as it happened."""
    return [line.rsplit(" ", 1)[0] for line in (directory / "order").read_text().splitlines()]


async def until_stopped(_system: System, stop: asyncio.Event) -> int:
    await stop.wait()
    return 0


if __name__ == "__main__":
    place = Path(sys.argv[1])
    kinds = [tuple(argument.split("=", 1)) for argument in sys.argv[2:]]
    with DataDirectoryLock(place):
        system = make_system(place, [[(name, behaviour)] for name, behaviour in kinds])
        sys.exit(asyncio.run(run_system(system, until_stopped)))
