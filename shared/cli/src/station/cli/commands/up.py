"""`stn up`, `stn down`, `stn status`: a whole Station on this machine."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from station.cli.errors import CommandError
from station.cli.output import Format, Output, note, status_text

if TYPE_CHECKING:
    from station.cli.supervisor.settings import LocalSettings
    from station.cli.supervisor.system import System

DETACH_SECONDS, DOWN_SECONDS = 90.0, 15.0
POLL_SECONDS = 0.1

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Database, broker store, logs (STATION_DATA_DIR).")]
Port = Annotated[int | None, typer.Option("--port", "-p", min=0, max=65535, help="The API's port (STATION_HTTP_PORT).")]
EnvironmentsDir = Annotated[
    Path | None, typer.Option("--environments-dir", help="Agents and workflows (STATION_ENVIRONMENTS_DIR).")
]
OutputFormat = Annotated[Format, typer.Option("--output", "-o", help="For people or for programs.")]


def up(
    *,
    port: Port = None,
    data_dir: DataDir = None,
    environments_dir: EnvironmentsDir = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when it is ready; `stn down` stops it.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Logs go to files only.")] = False,
) -> None:
    """Start the broker and the four services, and keep them running until Ctrl-C."""
    from station.cli.supervisor import foreground, settings

    loaded = settings.load(http_port=port, data_dir=data_dir, environments_dir=environments_dir)
    if detach:
        _detach(loaded)
        return
    chosen = loaded.log_format or ("console" if sys.stdout.isatty() else "json")
    raise typer.Exit(foreground.run(loaded, stream="none" if quiet else chosen, work=_until_stopped))


def down(*, data_dir: DataDir = None) -> None:
    """Stop the Station of a data directory, and wait until it is gone."""
    from station.cli.supervisor import settings
    from station.cli.supervisor.lock import DataDirectoryLock

    directory = settings.load(data_dir=data_dir).data_dir
    lock = DataDirectoryLock(directory)
    pid = lock.holder()
    if pid is None:
        note(f"no Station is running on {directory}")
        return
    os.kill(pid, signal.SIGTERM)
    if not lock.wait_until_free(DOWN_SECONDS):
        todo = f"kill it with `kill -9 {pid}`: nothing that was recorded is lost"
        raise CommandError(f"pid {pid} has not stopped within {DOWN_SECONDS:.0f} s", where=str(directory), todo=todo)
    note(f"stopped (pid {pid})")


def status(*, data_dir: DataDir = None, output: OutputFormat = Format.TABLE) -> None:
    """Show the processes of the Station of a data directory. Exit code 1 when it is not running."""
    from station.cli.supervisor import settings
    from station.cli.supervisor.system import running

    directory = settings.load(data_dir=data_dir).data_dir
    state = running(directory)
    out = Output(output)
    if out.is_json:
        out.answer({"running": state is not None, "dataDir": str(directory), "system": state})
    elif state is None:
        out.line(f"no Station is running on {directory}; start one with `stn up`")
    else:
        out.line(f"{state.url or 'starting'}  pid {state.pid}  {directory}", style="bold")
        rows = [(s.name, status_text(_state(s.pid, ready=s.ready)), s.pid, s.restarts) for s in state.services]
        out.table(("SERVICE", "STATE", "PID", "RESTARTS"), rows, empty="nothing started yet")
    if state is None:
        raise typer.Exit(1)


async def _until_stopped(system: "System", stop: asyncio.Event) -> int:
    system.sink.notice("ready", api=system.url, docs=f"{system.url}/docs", data_dir=str(system.sink.directory.parent))
    await stop.wait()
    system.sink.notice("stopping")
    return 0


def _detach(settings: "LocalSettings") -> None:
    from station.cli.supervisor.lock import DataDirectoryLock
    from station.cli.supervisor.ports import check_http_port
    from station.cli.supervisor.system import running, wait_for_leftovers

    with DataDirectoryLock(settings.data_dir):
        wait_for_leftovers(settings.data_dir)
        check_http_port(settings)
    logs = settings.data_dir / "logs"
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = ["--port", str(settings.http_port), "--data-dir", str(settings.data_dir)]
    options += ["--environments-dir", str(settings.environments_dir)]
    command = [sys.executable, "-m", "station.cli", "up", "--quiet", *options]
    last_words = logs / "up.log"
    with last_words.open("wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
    deadline = time.monotonic() + DETACH_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise CommandError(f"it did not start\n{last_words.read_text().strip()}", where=str(logs))
        state = running(settings.data_dir)
        if state is not None and state.ready:
            place = f"--data-dir {settings.data_dir}"
            note(f"Station answers at {state.url} (pid {state.pid}); logs in {logs}; `stn down {place}` stops it")
            return
        time.sleep(POLL_SECONDS)
    process.terminate()
    raise CommandError(f"it was not ready within {DETACH_SECONDS:.0f} s and is stopped", where=str(logs))


def _state(pid: int | None, *, ready: bool) -> str:
    if pid is None:
        return "restarting"
    return "ready" if ready else "starting"
