"""The system that is measured: `stn up` as people run it, in a data directory of its own that goes with it."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Self

import msgspec
import psutil

from station.cli.supervisor.system import SystemState
from tests.benchmarks import workflows
from tests.benchmarks.client import Client
from tests.benchmarks.completions import Completions
from tests.benchmarks.connections import Connections
from tests.benchmarks.errors import BenchError
from tests.benchmarks.scale import Scale
from tests.benchmarks.usage import tree
from tests.support.nats import die_with_parent, free_port

SUPERVISOR = "supervisor"
READY_SECONDS, STOP_SECONDS = 60.0, 15.0
POLL_SECONDS = 0.01
LARGEST_OUTPUT = 8 * 1024 * 1024
"""The list of 10,000 results is 2.3 MB; the default limit of one output is 1 MiB."""


class Station:
    """One system; `start` brings it up again after `kill`, on the same data."""

    def __init__(self, directory: Path | None, scale: Scale) -> None:
        """``directory``: where the data directory is made; None: among the machine's temporary files."""
        self._directory = Path(tempfile.mkdtemp(prefix="station-bench-", dir=directory))
        self.data_dir = self._directory / "data"
        self.database = self.data_dir / "station.db"
        self.killed: list[float] = []
        """When everything was killed, by the monotonic clock."""
        self._environments = self._directory / "environments"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._max_states = max(scale.items, scale.chain_states) * 2 + 10_000
        workflows.write_environment(
            self._environments, max_concurrency=scale.max_concurrency, chain_states=scale.chain_states
        )

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            self._end()
            raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._end()

    async def start(self) -> None:
        """Start everything, and return when it says that it is ready."""
        assert self._process is None, "it runs already"
        options = ["--port", str(self._port), "--data-dir", str(self.data_dir)]
        options += ["--environments-dir", str(self._environments)]
        self._process = self._spawn([sys.executable, "-m", "station.cli", "up", "--quiet", *options])
        await self._until(lambda: (state := self._state()) is not None and state.ready)

    async def client(self) -> Client:
        """A client of what runs now, once it knows the workflows."""
        connections = Connections(f"http://127.0.0.1:{self._port}")
        client = Client(connections, await Completions.listen(self._nats_url()))
        for name in (workflows.SEQUENTIAL, workflows.CHAIN):
            deadline = monotonic() + READY_SECONDS
            while not await client.knows(name):
                if monotonic() > deadline:
                    raise BenchError(f"the workflow {name} is not known after {READY_SECONDS:.0f} s\n{self._words()}")
                await asyncio.sleep(POLL_SECONDS)
        return client

    def pids(self) -> dict[str, int]:
        """The supervisor and its children, by name."""
        state = self._state()
        if self._process is None or state is None:
            return {}
        return {SUPERVISOR: self._process.pid} | {each.name: each.pid for each in state.services if each.pid}

    def kill(self) -> None:
        """SIGKILL to everything, the supervisor first, and wait until all are gone."""
        if self._process is None:
            return
        processes = [psutil.Process(pid) for pid in tree(self.pids()) if psutil.pid_exists(pid)]
        self.killed.append(monotonic())
        self._process.kill()
        for process in processes:
            _kill(process)
        self._process.wait()
        self._process = None
        psutil.wait_procs(processes, timeout=STOP_SECONDS)

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self._directory / "up.log").open("ab") as log:
            return subprocess.Popen(
                command,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, takes no lock
            )

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
                self._process = None
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _environment(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STATION_")}
        return kept | {
            "STATION_MAX_STATES": str(self._max_states),
            "STATION_MAX_OUTPUT_BYTES": str(LARGEST_OUTPUT),
        }

    def _state(self) -> SystemState | None:
        """What the supervisor that runs now says; None while it has said nothing."""
        try:
            state = msgspec.json.decode((self.data_dir / "run" / "stn.json").read_bytes(), type=SystemState)
        except (OSError, msgspec.MsgspecError):
            return None
        return state if self._process is not None and state.pid == self._process.pid else None

    def _nats_url(self) -> str:
        password = msgspec.json.decode((self.data_dir / "credentials").read_bytes(), type=dict[str, str])["external"]
        return f"nats://external:{password}@127.0.0.1:{(self.data_dir / 'nats.port').read_text().strip()}"

    async def _until(self, is_so: Callable[[], bool]) -> None:
        deadline = monotonic() + READY_SECONDS
        while not is_so():
            if self._process is None or self._process.poll() is not None or monotonic() > deadline:
                raise BenchError(f"the system did not start; `stn up` said:\n{self._words()}")
            await asyncio.sleep(POLL_SECONDS)

    def _words(self) -> str:
        return (self._directory / "up.log").read_text(errors="replace")[-4000:]


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
