"""`stn demo`: a whole Station, and the host-triage workflow up to its approval (with --yes, to its end)."""

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from station.cli.commands.up import DataDir, EnvironmentsDir, Port
from station.cli.errors import INTERRUPTED, USAGE, CommandError
from station.cli.output import note

if TYPE_CHECKING:
    from station.cli.guide import Guide
    from station.cli.supervisor.settings import LocalSettings
    from station.cli.supervisor.system import System

WORKFLOW = "host-triage"
JOIN_SECONDS = 3.0


def demo(
    *,
    port: Port = None,
    data_dir: DataDir = None,
    environments_dir: EnvironmentsDir = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Approve, and go through to the end.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Cancel what an earlier demo left, and begin anew.")] = False,
) -> None:
    """Start everything and triage this machine: measure, ask for approval, act, report. No key, no network."""
    from station.cli.guide import Guide
    from station.cli.supervisor import foreground, settings

    loaded = _with_free_port(settings.load(http_port=port, data_dir=data_dir, environments_dir=environments_dir))
    _check_environment(loaded)
    note(f"starting Station at {loaded.url} (data and logs in {loaded.data_dir})")
    guide = Guide(loaded, approve=yes, fresh=fresh)

    async def work(_system: "System", stop: asyncio.Event) -> int:
        return await _guided(guide, stop)

    try:
        code = foreground.run(loaded, stream="none", work=work)
    finally:
        guide.join(JOIN_SECONDS)
    if guide.interrupted_run:
        place = f" --data-dir {data_dir}" if data_dir else ""
        note(f"stopped; run {guide.interrupted_run} is kept, and `{guide.program} demo{place}` goes on with it")
    raise typer.Exit(code)


async def _guided(guide: "Guide", stop: asyncio.Event) -> int:
    """The guide speaks to the API like any client, in a thread of its own; this loop keeps the processes running."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[int] = loop.create_future()

    def finish(code: int, error: BaseException | None) -> None:
        if not done.done():
            done.set_result(code) if error is None else done.set_exception(error)

    def lead() -> None:
        code, error = 0, None
        try:
            code = guide.lead()
        except BaseException as raised:  # noqa: BLE001 - it belongs to whoever waits for the thread
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed after Ctrl-C
            loop.call_soon_threadsafe(finish, code, error)

    guide.thread = threading.Thread(target=lead, name="guide", daemon=True)
    guide.thread.start()
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({done, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if done.done():
        return done.result()
    done.cancel()
    guide.stop()
    return INTERRUPTED


def _with_free_port(settings: "LocalSettings") -> "LocalSettings":
    import msgspec

    from station.cli.supervisor.ports import free_port, is_free

    if settings.http_port != 0 and is_free(settings.http_host, settings.http_port):
        return settings
    chosen = free_port(settings.http_host)
    if settings.http_port != 0:
        note(f"port {settings.http_port} is taken by another program; the demo takes {chosen}", style="yellow")
    return msgspec.structs.replace(settings, http_port=chosen)


def _check_environment(settings: "LocalSettings") -> None:
    folder = settings.environments_dir / "default" / "workflows"
    if any(folder.glob(f"{WORKFLOW}.workflow.*")):
        return
    todo = "run it in Station's own folder, or name its deploy/environments with --environments-dir"
    raise CommandError(f"the workflow {WORKFLOW} is not there", where=str(folder), todo=todo, exit_code=USAGE)
