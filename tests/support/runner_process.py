"""A real agent-runner process of a test."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from tests.support.waiting import eventually

PATIENCE = 20.0


class RunnerProcess:
    """One runner with its own data directory; started again it is the same runner."""

    def __init__(self, folder: Path, nats_url: str, **settings: str) -> None:
        self.environments = folder / "environments"
        self.data = folder / "data"
        self.log = folder / "runner.log"
        self._settings = {
            "STATION_NATS_URL": nats_url,
            "STATION_DATA_DIR": str(self.data),
            "STATION_ENVIRONMENTS_DIR": str(self.environments),
            "STATION_LOG_FORMAT": "json",
            **settings,
        }
        self._process: asyncio.subprocess.Process | None = None

    @property
    def spool(self) -> Path:
        return self.data / "agent-runner" / "default"

    async def start(self) -> None:
        self.environments.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "station.agent_runner",
                env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **self._settings},
                stdout=log,
                stderr=log,
            )

    async def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM, and wait for the end; the exit code."""
        return await self._end(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def wait(self) -> int:
        assert self._process is not None
        return await asyncio.wait_for(self._process.wait(), PATIENCE)

    async def close(self) -> None:
        if self._process is not None and self._process.returncode is None:
            await self.kill()

    def records(self, message: str) -> list[dict[str, Any]]:
        """Log lines of one message."""
        lines = self.log.read_bytes().splitlines() if self.log.exists() else []
        found = [msgspec.json.decode(line) for line in lines if line.startswith(b"{")]
        return [record for record in found if record.get("message") == message]

    async def logged(self, message: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait for log lines of one message."""
        return await eventually(lambda: found if len(found := self.records(message)) >= count else [])

    async def _end(self, number: signal.Signals) -> int:
        self.signal(number)
        return await self.wait()
