"""What `stn` has started may be broken off at any moment: nothing is left behind, and the next start goes on."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.workflows import agent, ask, store
from tests.support.driver import Driver, ok
from tests.support.nats import die_with_parent, free_port

ENVIRONMENTS = Path(__file__).parents[2] / "deploy" / "environments"
SECONDS = 60.0


class Stn(Driver):
    """`stn up` or `stn demo` as a process, on a data directory that outlives it."""

    def __init__(self, folder: Path, *, environments: Path = ENVIRONMENTS) -> None:
        self.data = folder / "data"
        self._temporary = folder / "tmp"
        self._temporary.mkdir()
        self._port = free_port()
        self._options = ["--data-dir", str(self.data), "--environments-dir", str(environments)]
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.output: list[str] = []
        super().__init__(httpx.Client(base_url=f"http://127.0.0.1:{self._port}/api/v1", timeout=30))

    def start(self, *arguments: str) -> None:
        self.output = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "station.cli", *arguments, "--port", str(self._port), *self._options],
            env={"PATH": os.environ["PATH"], "HOME": str(self._temporary), "TMPDIR": str(self._temporary)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, takes no lock
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def wait_for(self, text: str) -> str:
        """The line of the output that holds this."""
        return self._until_true(lambda: next((line for line in list(self.output) if text in line), None), f"{text!r}")

    def send(self, number: signal.Signals) -> int:
        """Send it, and wait for the end; the exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        assert self._process is not None
        assert self._reader is not None
        code = self._process.wait(SECONDS)
        self._reader.join(SECONDS)
        return code

    def children(self) -> list[psutil.Process]:
        assert self._process is not None
        return psutil.Process(self._process.pid).children(recursive=True)

    def wait_ready(self) -> None:
        self._until_true(self._is_ready, "ready")

    def close(self) -> None:
        self.api.close()
        if self._process is not None and self._process.poll() is None:
            self.send(signal.SIGTERM)

    def _is_ready(self) -> bool:
        assert self._process is not None
        try:
            state = json.loads((self.data / "run" / "stn.json").read_text())
        except (OSError, ValueError):
            return False
        return state["ready"] and state["pid"] == self._process.pid

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self.output.append(line.rstrip("\n"))

    def _until_true(self, look: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + SECONDS
        while not (found := look()):
            assert self._process is not None
            assert self._process.poll() is None or look(), f"it ended without {what}:\n" + "\n".join(self.output[-40:])
            assert time.monotonic() < deadline, f"no {what} came:\n" + "\n".join(self.output[-40:])
            time.sleep(0.02)
        return found


@pytest.fixture
def stn(tmp_path: Path) -> Iterator[Stn]:
    started = Stn(tmp_path)
    yield started
    started.close()


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=SECONDS)
    assert not alive, f"left behind: {[process.name() for process in alive]}"


def only_run(stn: Stn, workflow: str) -> dict[str, Any]:
    [run] = stn.all_pages("/workflow-runs", workflowId=workflow)
    return run


def test_a_demo_that_was_interrupted_at_its_approval_goes_on_with_the_same_run(stn: Stn) -> None:
    stn.start("demo")
    stn.wait_for("The run waits for you")
    run = only_run(stn, "host-triage")
    assert run["status"] == "WAITING_APPROVAL"
    [asked] = stn.approvals(run["id"])
    children = stn.children()
    assert len(children) >= 5
    assert stn.send(signal.SIGINT) == 130
    assert any(run["id"] in line and "kept" in line for line in stn.output), stn.output
    assert_gone(children)

    stn.start("demo")
    assert run["id"] in stn.wait_for("going on with run")
    stn.wait_for("The run waits for you")
    assert stn.approvals(run["id"]) == [asked], "nobody is asked twice"
    ok(stn.approve(run["id"], asked["id"]))
    assert stn.wait() == 0, stn.output
    assert any("COMPLETED" in line for line in stn.output)


def test_a_demo_with_yes_goes_through_to_its_end(stn: Stn) -> None:
    stn.start("demo", "--yes")
    assert stn.wait() == 0, stn.output
    assert any("COMPLETED" in line for line in stn.output)


def test_up_that_was_killed_leaves_nothing_behind_and_the_next_one_goes_on(tmp_path: Path) -> None:
    environments = tmp_path / "environments"
    agents = environments / "test" / "agents"
    agents.mkdir(parents=True)
    (agents / "slow.prompt").write_text(
        "---\nmodel: scripted\nscripted: [{answer: done, delaySeconds: 0.5}]\n---\nSlow.\n"
    )
    stn = Stn(tmp_path, environments=environments)
    try:
        stn.start("up")
        stn.wait_ready()
        stn.wait_agent("slow")
        store(stn, "both", agent("work", "slow", next="ask"), ask("ask"))
        waits, works = stn.start_run("both"), ""
        asked = stn.wait_approval(waits)
        works = stn.start_run("both")
        stn.wait_event(works, "step_started")
        children = stn.children()
        assert len(children) >= 5
        assert stn.send(signal.SIGKILL) == -signal.SIGKILL
        assert_gone(children)

        stn.start("up")
        stn.wait_ready()
        ok(stn.approve(waits, asked["id"]))
        stn.finish(waits)
        ok(stn.approve(works, stn.wait_approval(works)["id"]))
        stn.finish(works)
        assert stn.send(signal.SIGTERM) == 0
    finally:
        stn.close()
