"""`stn doctor`: is this machine fit, does everything run, and does what is stored hold together."""

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from station.cli.commands.up import DataDir, EnvironmentsDir, OutputFormat
from station.cli.output import Format, Output, plain

if TYPE_CHECKING:
    from station.cli.checks import BusFindings, Check
    from station.cli.supervisor.settings import LocalSettings
    from station.contracts.health import DoctorReport

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "skip": "dim"}
CHECK_SECONDS = 600


def doctor(
    *,
    data_dir: DataDir = None,
    environments_dir: EnvironmentsDir = None,
    output: OutputFormat = Format.TABLE,
    offline: Annotated[bool, typer.Option("--offline", help="Read the database file; ask nobody.")] = False,
) -> None:
    """Check machine, processes, broker, and every invariant of what is stored. Exit code 1 on findings."""
    from station.cli import checks
    from station.cli.supervisor import settings as local
    from station.cli.supervisor.system import running
    from station.runtime import logging

    logging.setup("stn", "console", "error")
    settings = local.load(data_dir=data_dir, environments_dir=environments_dir)
    is_running = running(settings.data_dir) is not None and not offline
    found = [*checks.machine_checks(settings), *asyncio.run(checks.service_checks(settings, running=is_running))]
    if is_running or (not settings.nats_embedded and not offline):
        bus = asyncio.run(checks.bus_checks(_broker_url(settings)))
    else:
        bus = _stored(settings)
    found.extend(bus.checks)
    if bus.report is not None:
        found.extend(_invariants(bus.report))
    _show(Output(output), found, bus.report)
    if any(check.verdict is checks.Verdict.FAIL for check in found):
        raise typer.Exit(1)


def _broker_url(settings: "LocalSettings") -> str | None:
    """Where the `cli` user may ask; None when its password is not in reach."""
    import msgspec

    if not settings.nats_embedded:
        return settings.nats_url
    try:
        passwords = msgspec.json.decode((settings.data_dir / "credentials").read_bytes(), type=dict[str, str])
        port = int((settings.data_dir / "nats.port").read_text())
        return f"nats://cli:{passwords['cli']}@127.0.0.1:{port}"
    except (OSError, KeyError, ValueError, msgspec.MsgspecError):
        return None


def _stored(settings: "LocalSettings") -> "BusFindings":
    """The invariants of the file, judged by the scheduler's own code in a process of its own."""
    import msgspec

    from station.cli.checks import BusFindings, Check, Verdict
    from station.contracts.health import DoctorReport

    path = settings.database
    if not path.exists():
        return BusFindings([Check("database", Verdict.SKIP, f"{path} does not exist yet")])
    command = [sys.executable, "-m", "station.scheduler.doctor", "--database", str(path), "--json"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=CHECK_SECONDS)
    try:
        return BusFindings([], msgspec.json.decode(done.stdout, type=DoctorReport))
    except msgspec.MsgspecError:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        return BusFindings([Check("database", Verdict.FAIL, words[-1] if words else "the check gave no report")])


def _invariants(report: "DoctorReport") -> "list[Check]":
    from station.cli.checks import Check, Verdict

    scope = f"{report.checked_runs} runs with {report.checked_events} events"
    verdict = Verdict.FAIL if report.findings else Verdict.OK
    lines = [Check("invariants", verdict, f"{scope}: {len(report.findings) or 'no'} findings")]
    lines += [Check(f"  {f.check}", Verdict.FAIL, f"{f.subject}: {f.detail}") for f in report.findings]
    lines += [Check(f"  dead letter {f.check}", Verdict.WARN, f"{f.subject}: {f.detail}") for f in report.dead_letters]
    return lines


def _show(out: Output, found: "list[Check]", report: "DoctorReport | None") -> None:
    if out.is_json:
        out.answer({"checks": found, "report": report})
        return
    rows = [
        (check.name, Text(check.verdict.value, style=STYLES[check.verdict.value]), _detail(check)) for check in found
    ]
    out.table(("CHECK", "", "DETAIL"), rows, empty="nothing checked")


def _detail(check: "Check") -> Text:
    text = Text(plain(check.detail))
    return text.append(f"\n→ {plain(check.todo)}", style="cyan") if check.todo else text
