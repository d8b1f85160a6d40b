"""Programs on NATS that are agents: the documented ones, in two languages, as other systems would run them."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.workflows import agent, store
from tests.support.driver import ok
from tests.support.nats import die_with_parent
from tests.support.node import install
from tests.support.system import System

PAGE = (Path(__file__).parents[2] / "docs/agents.md").read_text()
SCRIPT = Path(__file__).parent / "node" / "remote-agent.mjs"
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WEATHER = """
    ---
    model: nats/agent.weather
    ---
    What is the weather in {{city}}?
"""


def documented(language: str) -> str:
    (found,) = [text for name, text in FENCED.findall(PAGE) if name == language and "agent.weather" in text]
    return found


class Program:
    """One that serves; a line of its output at a time."""

    def __init__(self, command: list[str], nats_url: str) -> None:
        self._process = subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"], "NATS_URL": nats_url},
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, takes no lock
        )
        assert self.line() == "ready"

    def line(self) -> str:
        """The next line that it prints, however long that takes."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture(params=["python", "javascript"])
def program(request: pytest.FixtureRequest, system: System, tmp_path: Path) -> Iterator[Program]:
    if request.param == "python":
        file = tmp_path / "weather.py"
        file.write_text(documented("python"))
        command = [sys.executable, str(file)]
    else:
        install(SCRIPT.parent)
        command = ["node", str(SCRIPT)]
    running = Program(command, system.nats_url("external"))
    yield running
    running.kill()


@pytest.fixture
def ask(system: System) -> Callable[..., str]:
    """Start a run that asks the program."""
    system.write_agent("weather", WEATHER)
    system.wait_agent("weather")
    variables = {"city": "{{ city }}", "seconds": "{{ seconds }}"}
    store(system, "forecast", agent("ask", "weather", variables=variables, retry={"maxAttempts": 1}))
    return lambda city, seconds=0: system.start_run("forecast", {"city": city, "seconds": seconds})


def key(system: System, run_id: str) -> str:
    """The idempotency key of the run's only attempt."""
    return f"{run_id}:{system.step(run_id, 'ask')['stepId']}:1"


def test_the_documented_script_is_the_one_that_is_tested() -> None:
    assert documented("javascript") == SCRIPT.read_text()


def test_a_program_elsewhere_answers_fails_and_is_stopped(
    system: System, program: Program, ask: Callable[..., str]
) -> None:
    run_id = ask("Oslo")
    assert system.finish(run_id)["output"] == {"city": "Oslo", "sky": "clear"}
    assert program.line() == f"asked {key(system, run_id)}"
    failed = system.finish(ask("Atlantis"), "FAILED")
    assert program.line() == f"asked {key(system, failed['id'])}"
    assert failed["error"]["type"] == "agent_error"
    assert "the program on agent.weather failed: there is no such city: Atlantis" in failed["error"]["message"]
    run_id = ask("Oslo", 600)
    assert program.line() == f"asked {key(system, run_id)}"
    ok(system.control(run_id, "cancel"))
    assert program.line() == f"stopped {key(system, run_id)}"
    assert system.finish(ask("Rome"))["output"]["city"] == "Rome", "it serves on"


def test_a_runner_that_is_killed_meanwhile_is_followed_by_one_that_asks_again(
    system: System, program: Program, ask: Callable[..., str]
) -> None:
    run_id = ask("Oslo", 600)
    asked = program.line()
    assert asked == f"asked {key(system, run_id)}"
    system.restart("agent-runner")
    assert program.line() == asked, "the same attempt has the same key"
    ok(system.control(run_id, "cancel"))
    assert program.line() == f"stopped {key(system, run_id)}"


def test_with_no_program_there_the_run_says_so(system: System, ask: Callable[..., str]) -> None:
    run = system.finish(ask("Oslo"), "FAILED")
    assert "no program answers on agent.weather" in run["error"]["message"]
