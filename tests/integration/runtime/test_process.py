"""A process from start to exit: signals, exit codes and log lines, seen from outside."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

PRELUDE = """
import asyncio, sys, os, logging as standard
from station.runtime import lifecycle, logging
from station.runtime.errors import StationError, SettingsError
from station.contracts.problems import Problem
logging.setup("test", "json", "info")
log = logging.get_logger("story")
"""
EPILOGUE = "\nsys.exit(lifecycle.run(main))\n"

WAITING = """
async def main(stop):
    log.info("ready")
    await stop.wait()
    log.info("cleaned_up")
"""
STUBBORN = """
async def main(stop):
    log.info("ready")
    await asyncio.Event().wait()
"""

Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    processes: list[asyncio.subprocess.Process] = []

    async def started(story: str, **environ: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PRELUDE + story + EPILOGUE, stderr=asyncio.subprocess.PIPE, env=os.environ | environ
        )
        processes.append(process)
        return process

    yield started
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until(process: asyncio.subprocess.Process, event: str) -> dict[str, Any]:
    assert process.stderr
    async with asyncio.timeout(20):
        while line := await process.stderr.readline():
            record = msgspec.json.decode(line)
            if record["message"] == event:
                return record
    raise AssertionError(f"the process ended without {event}")


async def ended(process: asyncio.subprocess.Process) -> tuple[int, list[dict[str, Any]]]:
    async with asyncio.timeout(20):
        _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, [msgspec.json.decode(line) for line in errors.splitlines()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_cleanly(start: Start, number: signal.Signals) -> None:
    process = await start(WAITING)
    await until(process, "ready")
    process.send_signal(number)
    code, records = await ended(process)
    assert (code, [record["message"] for record in records]) == (0, ["stopping", "cleaned_up"])


async def test_a_second_signal_ends_it_at_once(start: Start) -> None:
    process = await start(STUBBORN)
    await until(process, "ready")
    process.send_signal(signal.SIGTERM)
    await until(process, "stopping")
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 128 + signal.SIGTERM


async def test_a_person_error_is_one_line_and_no_traceback(start: Start) -> None:
    code, [record] = await ended(await start("async def main(stop): raise StationError('The port 80 is taken.')"))
    assert (code, record["message"], record["detail"]) == (1, "stopped_by_error", "The port 80 is taken.")
    assert "exception" not in record


async def test_every_wrong_setting_is_a_line_and_the_code_is_two(start: Start) -> None:
    problems = "[Problem('c', 'STATION_A', 'bad', 'do'), Problem('c', 'STATION_B', 'bad')]"
    story = f"async def main(stop): raise SettingsError({problems})"
    code, records = await ended(await start(story))
    assert code == 2
    assert [(record["setting"], record["hint"]) for record in records] == [("STATION_A", "do"), ("STATION_B", None)]


async def test_a_crash_is_one_line_with_its_traceback(start: Start) -> None:
    code, [record] = await ended(await start("async def main(stop): 1 / 0"))
    assert (code, record["level"]) == (1, "error")
    assert "ZeroDivisionError" in record["exception"]


@pytest.mark.parametrize("form", ["json", "console"])
async def test_a_traceback_shows_no_values(start: Start, form: str) -> None:
    story = f"""
logging.setup("test", "{form}")
async def main(stop):
    password = sys.argv[0] + "hunt" + "er2"
    1 / 0
"""
    process = await start(story)
    async with asyncio.timeout(20):
        _, errors = await process.communicate()
    assert b"ZeroDivisionError" in errors
    assert b"hunter2" not in errors


async def test_something_that_can_no_longer_work_ends_the_process(start: Start) -> None:
    story = """
async def elsewhere():
    lifecycle.fail("The broker threw us out.")
async def main(stop):
    task = asyncio.create_task(elsewhere())
    await stop.wait()
"""
    code, [record] = await ended(await start(story))
    assert (code, record["detail"]) == (1, "The broker threw us out.")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has died")
async def test_it_does_not_outlive_the_parent_that_started_it(start: Start) -> None:
    parent = """
import subprocess
async def main(stop):
    child = subprocess.Popen([sys.executable, "-c", CHILD], env=os.environ | {"STATION_PARENT_PID": str(os.getpid())})
    await asyncio.Event().wait()
"""
    child = PRELUDE + WAITING + EPILOGUE
    process = await start(f"CHILD = {child!r}\n{parent}")
    await until(process, "ready")
    process.kill()
    # The pipe closes when the last process that holds it has ended.
    assert process.stderr
    rest = await asyncio.wait_for(process.stderr.read(), 20)
    assert [msgspec.json.decode(line)["message"] for line in rest.splitlines()] == ["stopping", "cleaned_up"]


async def test_a_line_has_the_fields_that_people_search_by(start: Start) -> None:
    story = """
async def main(stop):
    with logging.bound(run_id="run_1", step_id="s1"):
        log.info("step_ended", duration_ms=5, status="SUCCEEDED", error=ValueError("x"))
    standard.getLogger("library").warning("from a library, %s", "formatted")
    log.debug("too_much")
"""
    code, [own, library] = await ended(await start(story))
    assert code == 0
    assert (
        own.items()
        >= {
            "message": "step_ended",
            "level": "info",
            "service": "test",
            "logger": "story",
            "run_id": "run_1",
            "step_id": "s1",
            "duration_ms": 5,
            "status": "SUCCEEDED",
            "error": "ValueError('x')",
        }.items()
    )
    assert own["ts"].endswith("Z")
    assert (
        library.items()
        >= {
            "message": "from a library, formatted",
            "level": "warning",
            "service": "test",
            "logger": "library",
        }.items()
    )
    assert "run_id" not in library
