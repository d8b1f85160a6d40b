"""The gateway as a process: where it says it is, how it stops, and what it says when it cannot start."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from station.contracts import subjects
from station.gateway.server import bind
from station.runtime.bus import Bus
from tests.support.fake_scheduler import FakeScheduler
from tests.support.nats import NatsServer, free_port


@contextmanager
def process(tmp_path: Path, **settings: object) -> Iterator[subprocess.Popen[str]]:
    chosen = {"STATION_DATA_DIR": tmp_path, "STATION_HTTP_PORT": 0, "STATION_LOG_FORMAT": "json", **settings}
    environment = os.environ | {name: str(value) for name, value in chosen.items()}
    command = [sys.executable, "-m", "station.gateway"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def until(running: subprocess.Popen[str], message: str) -> tuple[dict[str, object], list[str]]:
    """The log line with this message, and all that were read on the way."""
    assert running.stderr is not None
    lines: list[str] = []
    for line in running.stderr:
        lines.append(line)
        found = json.loads(line)
        if found["message"] == message:
            return found, lines
    raise AssertionError("".join(lines))


async def test_it_tells_where_it_is_and_stops_with_a_stream_open(
    tmp_path: Path, nats_server: NatsServer, scheduler: FakeScheduler
) -> None:
    scheduler.add_run("run_1", "run_created")
    with process(tmp_path, STATION_NATS_URL=nats_server.url) as running:
        await asyncio.to_thread(until, running, "started")
        place = tmp_path / "run" / "gateway.json"
        url = json.loads(place.read_bytes())["url"]
        async with (
            httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http,
            http.stream("GET", "/api/v1/workflow-runs/run_1/stream") as stream,
        ):
            chunks = stream.aiter_bytes()
            assert b"event: snapshot" in await anext(chunks)
            running.send_signal(signal.SIGTERM)
            assert [chunk async for chunk in chunks] == []
        _, err = await asyncio.to_thread(running.communicate, timeout=30)
        assert running.returncode == 0, err
        assert "graceful shutdown exceeded" not in err
        assert not place.exists()


async def test_a_request_that_a_stop_overtakes_is_told_to_come_again(tmp_path: Path, nats_server: NatsServer) -> None:
    bus = await Bus.connect(nats_server.url, name="silent")
    asked = await bus.nc.subscribe(subjects.QUERY_WORKFLOWS)
    await bus.flush()
    with process(tmp_path, STATION_NATS_URL=nats_server.url) as running:
        await asyncio.to_thread(until, running, "started")
        url = json.loads((tmp_path / "run" / "gateway.json").read_bytes())["url"]
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
            request = asyncio.create_task(http.get("/api/v1/workflows"))
            await asked.next_msg(30)
            running.send_signal(signal.SIGTERM)
            answer = await request
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"]
        assert answer.json()["code"] == "unavailable"
        _, err = await asyncio.to_thread(running.communicate, timeout=30)
        assert running.returncode == 0, err
        assert "Traceback" not in err
    await bus.close()


def test_without_a_broker_it_is_up_and_says_so(tmp_path: Path) -> None:
    nowhere = f"nats://user:hidden@127.0.0.1:{free_port()}"
    with process(tmp_path, STATION_NATS_URL=nowhere, STATION_REQUEST_SECONDS=0.2) as running:
        _, lines = until(running, "listening")
        assert "hidden" not in "".join(lines)
        url = json.loads((tmp_path / "run" / "gateway.json").read_bytes())["url"]
        with httpx.Client(base_url=url, trust_env=False) as http:
            assert http.get("/healthz").status_code == 200
            assert http.get("/readyz").json()["checks"]["bus"] == "not connected"
            assert http.get("/api/v1/workflows").status_code == 503
            assert http.get("/api/v1/workflow-runs/run_1/stream").status_code == 503
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=30)
        assert running.returncode == 0, err


def test_a_taken_port_is_said_in_one_line(tmp_path: Path) -> None:
    taken = bind("127.0.0.1", 0)
    port = taken.getsockname()[1]
    with process(tmp_path, STATION_HTTP_PORT=port) as running:
        line, _ = until(running, "stopped_by_error")
        assert f"Port {port} on 127.0.0.1 is taken" in str(line["detail"])
        assert "STATION_HTTP_PORT" in str(line["detail"])
        assert running.wait(timeout=30) == 1
    taken.close()


def test_beyond_loopback_it_warns_loudly(tmp_path: Path) -> None:
    with process(tmp_path, STATION_HTTP_HOST="0.0.0.0") as running:
        line, _ = until(running, "listening_beyond_loopback")
        assert line["level"] == "warning"
        assert "no login" in str(line["detail"])
