"""A whole Station for tests: a real broker and the four services, each a process of its own, on free ports.

It waits for readiness, never for time; what it started dies with it, and with the test process however that ends.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any, ClassVar, Self

import httpx
import msgspec

from station.runtime.broker import Broker, write_config
from tests.support.driver import Driver
from tests.support.nats import NatsServer, die_with_parent, free_port

BROKER = "nats-server"
SERVICES = ("scheduler", "agent-runner", "approval-service", "gateway")
READY_SECONDS = 30.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.02


class System(Driver):
    """One Station in ``directory``. Its parts keep their ports and files when they are killed and started again."""

    made: ClassVar[list["System"]] = []
    """Every system of this process: what they leave is examined at the end of the tests."""
    running: ClassVar[list["System"]] = []

    def __init__(
        self, directory: Path, *, environments: Path | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        """Nothing is started yet. ``settings``: more STATION_ variables, by their full name."""
        self.data_dir = directory / "data"
        self.environments = environments or directory / "environments"
        self.environments.mkdir(parents=True, exist_ok=True)
        self.sqlite = self.data_dir / "station.db"
        self._temporary = directory / "tmp"
        self._temporary.mkdir()
        self._logs = directory / "logs"
        self._logs.mkdir()
        self._settings = dict(settings or {})
        self._http_port = free_port()
        self._broker: Broker = write_config(self.data_dir, free_port())
        self.nats = NatsServer(self.data_dir, config=self._broker.config_path, port=self._broker.port)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.url = f"http://127.0.0.1:{self._http_port}"
        super().__init__(httpx.Client(base_url=f"{self.url}/api/v1", timeout=httpx.Timeout(30)))
        System.made.append(self)

    def __enter__(self) -> Self:
        System.running.append(self)
        try:
            self.start(BROKER)
            for name in SERVICES:
                self._spawn(name)
            self.wait_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._end()

    @property
    def pids(self) -> dict[str, int]:
        """Of what runs now, by name."""
        broker = {BROKER: self.nats.pid} if self.nats.running else {}
        return broker | {name: process.pid for name, process in self._processes.items()}

    def nats_url(self, user: str = "external") -> str:
        """The broker's address, with the password of one of its users."""
        return self._broker.url_for(user)

    def start(self, name: str) -> None:
        """Start one part and return when it is ready. From the main thread: what a thread starts dies with it."""
        if name == BROKER:
            self.nats.start()
            return
        self._spawn(name)
        self.wait_ready([name])

    def start_all(self) -> None:
        """Start every part that does not run, and return when all are ready."""
        if not self.nats.running:
            self.nats.start()
        for name in SERVICES:
            if name not in self._processes:
                self._spawn(name)
        self.wait_ready()

    def kill(self, name: str) -> None:
        """SIGKILL, and wait for the end."""
        if name == BROKER:
            self.nats.kill()
            return
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def wait_end(self, name: str, seconds: float = READY_SECONDS) -> int:
        """Return when a service has ended by itself; its exit code."""
        code = self._processes[name].wait(seconds)
        del self._processes[name]
        return code

    def launch(self, name: str) -> None:
        """Start a service that cannot become ready yet."""
        self._spawn(name)

    def kill_all(self) -> None:
        """SIGKILL to everything, at once."""
        for process in self._processes.values():
            process.kill()
        self.nats.kill()
        for name in list(self._processes):
            self._processes.pop(name).wait()

    def stop(self, name: str | None = None) -> dict[str, int]:
        """SIGTERM to one part or to all, and wait for the end; the exit codes of the services."""
        names = list(self._processes) if name is None else [name] if name in self._processes else []
        for each in names:
            self._processes[each].send_signal(signal.SIGTERM)
        codes = {each: self._processes.pop(each).wait(STOP_SECONDS) for each in names}
        if name in {None, BROKER}:
            self.nats.stop()
        return codes

    def restart(self, name: str) -> None:
        """SIGKILL, and start again."""
        self.kill(name)
        self.start(name)

    def wait_ready(self, names: Iterable[str] = SERVICES, seconds: float = READY_SECONDS) -> None:
        """Return when each of these very processes has said where it is and answers there that it is ready."""
        deadline = time.monotonic() + seconds
        for name in names:
            while not self._is_ready(name):
                code = self._processes[name].poll()
                assert code is None, f"{name} ended with exit code {code}:\n{self.log_of(name)[-4000:]}"
                assert time.monotonic() < deadline, f"{name} is not ready:\n{self.log_of(name)[-4000:]}"
                time.sleep(POLL_SECONDS)

    def write_agent(self, name: str, text: str, *, environment: str = "test") -> Path:
        """Put an agent's file there; the text may be indented. `wait_agent` waits until it is known."""
        file = self.environments / environment / "agents" / f"{name}.prompt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text).lstrip("\n"))
        return file

    def write_scripted(self, name: str, *entries: Mapping[str, Any], environment: str = "test", **front: Any) -> Path:
        """Put an agent there that answers from a script; ``front`` goes to its front matter (input, output)."""
        matter = {"model": "scripted", "scripted": [dict(entry) for entry in entries], **front}
        return self.write_agent(name, f"---\n{json.dumps(matter)}\n---\nScripted.\n", environment=environment)

    def write_workflow(self, name: str, text: str, *, environment: str = "test") -> Path:
        """Put a workflow's file there; `wait_workflow` waits until it is known."""
        file = self.environments / environment / "workflows" / f"{name}.workflow.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text).lstrip("\n"))
        return file

    def records(self, name: str, message: str | None = None) -> list[dict[str, Any]]:
        """What a service has logged, as JSON; with ``message`` only those."""
        # A process that is killed may leave half a line.
        lines = [line for line in self.log_of(name).splitlines() if line.startswith("{") and line.endswith("}")]
        found = [msgspec.json.decode(line) for line in lines]
        return [record for record in found if message in {None, record.get("message")}]

    def crashes(self) -> list[str]:
        """Every traceback that a service has logged or printed: there is none for what can be expected to happen."""
        logged = [
            (name, record["exception"]) for name in SERVICES for record in self.records(name) if "exception" in record
        ]
        printed = [(name, self.log_of(name)) for name in SERVICES if "\nTraceback (most recent" in self.log_of(name)]
        return [f"{name} in {self.data_dir}:\n{text}" for name, text in (*logged, *printed)]

    def log_of(self, name: str) -> str:
        """All that a part has written."""
        file = self.nats.log if name == BROKER else self._logs / f"{name}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def readyz(self, name: str) -> httpx.Response | None:
        """What a service says of its readiness; None when it does not say where it is, or does not answer."""
        try:
            where = msgspec.json.decode((self.data_dir / "run" / f"{name}.json").read_bytes())
            if where["pid"] != self._processes[name].pid:
                return None
            return httpx.get(f"{where['url']}/readyz", timeout=5)
        except (OSError, msgspec.MsgspecError, httpx.TransportError, KeyError):
            return None

    def _is_ready(self, name: str) -> bool:
        answer = self.readyz(name)
        return answer is not None and answer.status_code == 200

    def _spawn(self, name: str) -> None:
        assert name not in self._processes, f"{name} runs already"
        with (self._logs / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", self._module(name)],
                env=self._environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, takes no lock
            )

    def _module(self, name: str) -> str:
        return f"station.{name.replace('-', '_')}"

    def _environment(self, name: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "TMPDIR": str(self._temporary),
            "PYTHONUNBUFFERED": "1",
            "STATION_DATA_DIR": str(self.data_dir),
            "STATION_ENVIRONMENTS_DIR": str(self.environments),
            "STATION_HTTP_PORT": str(self._http_port),
            "STATION_LOG_FORMAT": "json",
            "STATION_NATS_EMBEDDED": "false",
            "STATION_NATS_URL": self._broker.url_for(name),
            **self._settings,
        }

    def _end(self) -> None:
        self.api.close()
        if self in System.running:
            System.running.remove(self)
        self.kill_all()
