"""The real NATS server for tests: a free port, a store directory of its own, and every way to take it away.

Import the fixture where it is used: ``from tests.support.nats import NatsServer, nats_server  # noqa: F401``.
"""

import contextlib
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

BINARY = Path(sys.executable).parent / "nats-server"
_READY_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class NatsServer:
    """One server. It listens on the same port again after `start`, with whatever its store still holds.

    As a context manager it runs inside and is killed at the end.
    With ``config`` (a file that sets port, store and users) it is started from that alone.
    """

    def __init__(self, directory: Path, *, config: Path | None = None, port: int | None = None) -> None:
        self.port = port or free_port()
        self.store = directory / "jetstream"
        self.log = directory / "nats.log"
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server does not run"
        return self._process.pid

    def start(self) -> None:
        """Start it and return when it takes connections."""
        assert self._process is None, "the server runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(BINARY), *self._arguments()],
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, takes no lock
            )
        self._wait_until_ready()

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and wait for the end."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """SIGKILL and start again on the same store."""
        self.kill()
        self.start()

    def wipe(self) -> None:
        """SIGKILL, delete everything that JetStream stored, start again: the bus has forgotten all."""
        self.kill()
        shutil.rmtree(self.store, ignore_errors=True)
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: the connections stand, and nothing moves."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _arguments(self) -> list[str]:
        if self._config is not None:
            return ["-c", str(self._config)]
        return ["-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.store)]

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.send_signal(signal.SIGCONT)
        self._process.wait(timeout=30)
        self._process = None

    def _wait_until_ready(self) -> None:
        """The server sends its INFO line to whoever connects; before JetStream is up it does not listen."""
        assert self._process is not None
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, f"nats-server ended at once:\n{self.log.read_text()}"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                if connection.recv(5) == b"INFO ":
                    return
            time.sleep(0.01)
        raise AssertionError(f"nats-server did not start:\n{self.log.read_text()}")


def die_with_parent() -> None:
    """For ``preexec_fn``: a test process that is killed leaves nothing behind (Linux)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == 1:
            os._exit(1)


def free_port() -> int:
    """A port that nobody listens on now, and that the system gives to nobody who does not ask for it by number."""
    ports = range(15_000, 32_000)
    while True:
        port = random.choice(ports)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A running server without users, for one test."""
    directory = tmp_path / "nats"
    directory.mkdir()
    with NatsServer(directory) as server:
        yield server
