"""`stn backup` and `stn restore`: the database is the whole system, and a copy of it is enough to go on."""

import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer

from station.cli.commands.up import DataDir, OutputFormat
from station.cli.errors import CommandError
from station.cli.output import Format, Output, note
from station.contracts.backups import BackupReport, RestoreReport

T = TypeVar("T", bound=msgspec.Struct)

BUS_FOLDER = "jetstream"

Target = Annotated[
    Path | None, typer.Argument(help="A file, or a folder to name one in.  [default: backups in the data directory]")
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]
Source = Annotated[Path, typer.Argument(help="A copy made by `stn backup`.")]
KeepBus = Annotated[
    bool, typer.Option("--keep-bus", help="Leave the broker's files: what others sent and nobody took yet.")
]


def backup(
    path: Target = None, *, force: Force = False, data_dir: DataDir = None, output: OutputFormat = Format.TABLE
) -> None:
    """Copy the database as it is at this moment, while everything runs, and read the copy through."""
    from station.cli.supervisor import settings

    loaded = settings.load(data_dir=data_dir)
    target = _target(path, loaded.data_dir)
    options = ["--database", str(loaded.database), "--to", str(target), *(["--force"] if force else [])]
    report = _scheduler("backup", options, BackupReport)
    out = Output(output)
    if out.is_json:
        out.answer(report)
        return
    size = f"{report.bytes / 1024**2:,.1f} MiB"
    out.fields([("backup", report.path), ("size", size), ("runs", report.runs), ("events", report.events)])


def restore(
    path: Source, *, keep_bus: KeepBus = False, data_dir: DataDir = None, output: OutputFormat = Format.TABLE
) -> None:
    """Put a backup in the place of the database, which is kept under another name. Nothing may be running."""
    from station.cli.supervisor import settings
    from station.cli.supervisor.lock import DataDirectoryLock
    from station.cli.supervisor.system import wait_for_leftovers

    loaded = settings.load(data_dir=data_dir)
    with DataDirectoryLock(loaded.data_dir):
        wait_for_leftovers(loaded.data_dir)
        options = ["--database", str(loaded.database), "--from", str(path.expanduser().absolute())]
        report = _scheduler("restore", options, RestoreReport)
        wiped = not keep_bus and loaded.nats_embedded and _wipe(loaded.data_dir / BUS_FOLDER)
    out = Output(output)
    if out.is_json:
        out.answer({**msgspec.to_builtins(report), "busWiped": wiped})
    else:
        kept = report.replaced or "there was none"
        out.fields([("restored", report.database), ("runs", report.runs), ("events", report.events)])
        out.fields([("replaced", f"{kept}"), ("bus", "wiped" if wiped else "left as it is")])
    if not loaded.nats_embedded:
        note("the broker runs elsewhere: its streams were left as they are")


def _target(path: Path | None, data_dir: Path) -> Path:
    chosen = data_dir / "backups" if path is None else path.expanduser().absolute()
    if path is None or chosen.is_dir():
        return chosen / f"station-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}Z.db"
    return chosen


def _wipe(folder: Path) -> bool:
    """Whether there was something; the scheduler makes streams and open tasks anew."""
    if not folder.exists():
        return False
    try:
        shutil.rmtree(folder)
    except OSError as error:
        todo = "the database is restored; delete this folder before you start"
        raise CommandError(f"the broker's files cannot be deleted ({error})", where=str(folder), todo=todo) from error
    return True


def _scheduler(name: str, options: list[str], answer_type: type[T]) -> T:
    """Have the scheduler's own code do it, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", f"station.scheduler.{name}", *options], capture_output=True, check=False
    )
    try:
        return msgspec.json.decode(done.stdout, type=answer_type)
    except msgspec.MsgspecError:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise CommandError(words[-1] if words else f"it gave no report (exit code {done.returncode})") from None
