"""A broker, a scheduler that answers from memory, and a real runner process with a few agents."""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from station.runtime.bus import Bus
from tests.support.agent_files import write_agent
from tests.support.nats import NatsServer, nats_server
from tests.support.runner_process import RunnerProcess
from tests.support.step_scheduler import StepScheduler

__all__ = ["nats_server"]

EFFECT = """
import json, os, sys, time
call = json.load(sys.stdin)
with open("effects", "a") as file:
    file.write(f"{os.getpid()} {call['stepId'].rstrip('0')}\\n")
time.sleep(call["variables"].get("seconds", 0))
print(json.dumps({"did": call["task"]}))
"""
FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
with open("effects.new", "w") as file:
    file.write(f"{os.getpid()} {child.pid}\\n")
os.rename("effects.new", "effects")
time.sleep(3600)
"""


def program(code: str) -> str:
    return f"---\nmodel: exec\nexec: {{command: {json.dumps([sys.executable, '-c', code])}}}\n---\n"


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    connection = await Bus.connect(nats_server.url, name="test")
    yield connection
    await connection.close()


@pytest.fixture
async def scheduler(bus: Bus) -> AsyncIterator[StepScheduler]:
    server = StepScheduler(bus)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def runner(tmp_path: Path, nats_server: NatsServer) -> AsyncIterator[RunnerProcess]:
    """Not started yet."""
    process = RunnerProcess(tmp_path, nats_server.url)
    answer = "---\nmodel: scripted\nscripted: [{answer: {ok: true}}]\n---\n"
    write_agent(process.environments, "answers", answer)
    write_agent(
        process.environments, "slow", "---\nmodel: scripted\nscripted: [{answer: 1, delaySeconds: 3600}]\n---\n"
    )
    write_agent(process.environments, "effect", program(EFFECT))
    write_agent(process.environments, "family", program(FAMILY))
    yield process
    await process.close()
