"""A runner that is started while its disk is full waits for room; it does not end to be started again and again."""

import asyncio
import os
import resource
import sys
from pathlib import Path

from tests.support.nats import NatsServer, nats_server  # noqa: F401

_START = """
import resource, runpy
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
runpy.run_module("station.agent_runner", run_name="__main__")
"""


async def test_a_start_waits_for_room(nats_server: NatsServer, tmp_path: Path) -> None:  # noqa: F811
    settings = {
        "PATH": os.environ["PATH"],
        "STATION_NATS_URL": nats_server.url,
        "STATION_DATA_DIR": str(tmp_path / "data"),
        "STATION_ENVIRONMENTS_DIR": str(tmp_path),
        "STATION_LOG_FORMAT": "json",
    }
    runner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _START, env=settings, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert runner.stdout is not None
    try:
        async with asyncio.timeout(20):
            told = await runner.stdout.readuntil(b'"spool_full"}\n')
            assert b"free some space" in told
            resource.prlimit(runner.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            assert b'"boot":1' in await runner.stdout.readuntil(b'"spool_opened"}\n')
    finally:
        runner.kill()
        await runner.wait()
