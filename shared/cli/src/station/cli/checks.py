"""What `stn doctor` looks at, one function a question. Nothing here changes anything."""

import asyncio
import os
import shutil
import sqlite3
import sys
from enum import StrEnum
from typing import Any

import msgspec

from station.cli.supervisor.readiness import answers_ok, read_run_file, status_of
from station.cli.supervisor.services import SERVICES
from station.cli.supervisor.settings import LocalSettings
from station.cli.supervisor.system import is_alive
from station.contracts import subjects
from station.contracts.health import DoctorReport, GetHealth, Health, RunDoctor
from station.runtime.broker import inbox_prefix
from station.runtime.bus import Bus, Refused, Unavailable
from station.runtime.codec import Undecodable

OLDEST_PYTHON, OLDEST_SQLITE = (3, 11), (3, 37, 0)
LITTLE_SPACE, NO_SPACE = 2 * 1024**3, 200 * 1024**2
CONNECT_SECONDS, DOCTOR_SECONDS = 3.0, 60.0
DEEP_OUTBOX = 10_000


class Verdict(StrEnum):
    """How a check went; only FAIL is a finding."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


class Check(msgspec.Struct, frozen=True):
    """One line of the doctor's answer."""

    name: str
    verdict: Verdict
    detail: str
    todo: str | None = None


class BusFindings(msgspec.Struct):
    """What the broker and the scheduler say."""

    checks: list[Check]
    report: DoctorReport | None = None


def machine_checks(settings: LocalSettings) -> list[Check]:
    """Python, SQLite, the data directory, its disk, the environments."""
    return [_python(), _sqlite(), _data_dir(settings), _disk(settings), _environments(settings)]


async def service_checks(settings: LocalSettings, *, running: bool) -> list[Check]:
    """Each service's process and its /readyz."""
    if not running:
        return [
            Check("services", Verdict.SKIP, "no Station is running on this data directory", "start one with `stn up`")
        ]
    return list(await asyncio.gather(*(_service(settings, name) for name in SERVICES)))


async def bus_checks(url: str | None) -> BusFindings:
    """NATS, JetStream, the scheduler's own figures and its report on the stored runs."""
    if url is None:
        return BusFindings([Check("nats", Verdict.SKIP, "no broker's address is known here")])
    try:
        bus = await asyncio.wait_for(
            Bus.connect(url, name="stn-doctor", inbox_prefix=inbox_prefix("cli")), CONNECT_SECONDS
        )
    except TimeoutError:
        return BusFindings([Check("nats", Verdict.FAIL, "the broker does not answer", "see logs/nats-server.log")])
    try:
        found = bus.nc.connected_server_version
        version = f"{found.major}.{found.minor}.{found.patch}"
        findings = BusFindings([Check("nats", Verdict.OK, f"connected to NATS {version}")])
        findings.checks.append(await _jetstream(bus))
        findings.checks.extend(await _scheduler(bus))
        findings.report = await _report(bus, findings.checks)
        return findings
    finally:
        await bus.close()


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= OLDEST_PYTHON
    return Check("python", Verdict.OK if ok else Verdict.FAIL, version, None if ok else "install Python 3.11 or newer")


def _sqlite() -> Check:
    ok = sqlite3.sqlite_version_info >= OLDEST_SQLITE
    todo = None if ok else "strict tables need SQLite 3.37: use a newer Python build"
    return Check("sqlite", Verdict.OK if ok else Verdict.FAIL, sqlite3.sqlite_version, todo)


def _data_dir(settings: LocalSettings) -> Check:
    path = settings.data_dir
    if not path.exists():
        return Check("data directory", Verdict.SKIP, f"{path} does not exist yet; `stn up` makes it")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return Check(
            "data directory", Verdict.FAIL, f"{path} cannot be written", "give its owner's rights, or --data-dir"
        )
    return Check("data directory", Verdict.OK, str(path))


def _disk(settings: LocalSettings) -> Check:
    place = next(path for path in (settings.data_dir, *settings.data_dir.parents) if path.exists())
    free = shutil.disk_usage(place).free
    detail = f"{free / 1024**3:.1f} GiB free"
    if free < NO_SPACE:
        return Check("disk space", Verdict.FAIL, detail, "free some: without space nothing can be recorded")
    return Check("disk space", Verdict.WARN if free < LITTLE_SPACE else Verdict.OK, detail)


def _environments(settings: LocalSettings) -> Check:
    folder = settings.environments_dir
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not names:
        todo = "name the folder with --environments-dir or STATION_ENVIRONMENTS_DIR"
        return Check("environments", Verdict.WARN, f"none in {folder}", todo)
    return Check("environments", Verdict.OK, f"{', '.join(names)} in {folder}")


async def _service(settings: LocalSettings, name: str) -> Check:
    found = read_run_file(settings.data_dir, name)
    log = f"see {settings.data_dir / 'logs' / name}.log"
    if found is None or not is_alive(found.pid):
        return Check(name, Verdict.FAIL, "not running", log)
    if await answers_ok(f"{found.url}/readyz"):
        return Check(name, Verdict.OK, f"ready at {found.url} (pid {found.pid})")
    status = await status_of(f"{found.url}/readyz")
    detail = "does not answer" if status is None else f"not ready (/readyz says {status})"
    return Check(name, Verdict.FAIL, f"{detail} at {found.url} (pid {found.pid})", log)


async def _jetstream(bus: Bus) -> Check:
    try:
        details = [await _stream(bus, name) for name in (subjects.TASKS_STREAM, subjects.EVENTS_STREAM)]
    except Exception as error:  # noqa: BLE001 - whatever the client says, the check has failed
        todo = "the scheduler makes the streams anew; is it running, and JetStream on?"
        return Check("jetstream", Verdict.FAIL, f"{type(error).__name__}: {error}", todo)
    return Check("jetstream", Verdict.OK, ", ".join(details))


async def _stream(bus: Bus, name: str) -> str:
    info = await bus.js.stream_info(name)
    return f"{name} {info.state.messages} messages"


async def _scheduler(bus: Bus) -> list[Check]:
    try:
        health = await bus.request(subjects.QUERY_HEALTH, GetHealth(), Health)
    except (Unavailable, Refused, Undecodable) as error:
        return [Check("scheduler's figures", Verdict.FAIL, str(error))]
    shown = ", ".join(f"{name} {value}" for name, value in sorted(health.facts.items()))
    checks = [Check("scheduler's figures", Verdict.OK if health.ready else Verdict.FAIL, health.detail or shown)]
    depth: Any = health.facts.get("outboxDepth", health.facts.get("outbox_depth"))
    if isinstance(depth, int):
        verdict = Verdict.WARN if depth > DEEP_OUTBOX else Verdict.OK
        checks.append(Check("outbox", verdict, f"{depth} messages to be published"))
    return checks


async def _report(bus: Bus, checks: list[Check]) -> DoctorReport | None:
    try:
        return await bus.request(subjects.QUERY_DOCTOR, RunDoctor(), DoctorReport, timeout=DOCTOR_SECONDS)
    except (Unavailable, Refused, Undecodable) as error:
        checks.append(Check("invariants", Verdict.FAIL, str(error)))
        return None
