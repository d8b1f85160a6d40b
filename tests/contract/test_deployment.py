"""The files of a deployment hold together: with the tools that read them, with each other, and with the code."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from station.runtime.environment import NAMES

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
COMPOSE_FILES = ("docker-compose.yml", "deploy/observability.yml")
SERVICES = {path.name for path in (ROOT / "services").iterdir() if (path / "pyproject.toml").exists()}
PASSWORDS = {
    f"NATS_{user}_PASSWORD": "secret" for user in (*SERVICES, "external") for user in [user.upper().replace("-", "_")]
}


def compose(name: str = "docker-compose.yml") -> dict[str, Any]:
    return yaml.safe_load((ROOT / name).read_text())


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False)


def test_hadolint_accepts_the_dockerfile() -> None:
    checked = run(str(BIN / "hadolint"), "deploy/Dockerfile")
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_compose_files_follow_the_compose_schema(name: str) -> None:
    checked = run(str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", name)
    assert checked.returncode == 0, checked.stdout


def test_the_broker_accepts_its_configuration() -> None:
    checked = run(str(BIN / "nats-server"), "-t", "-c", "deploy/nats/nats.conf", **PASSWORDS)
    assert checked.returncode == 0, checked.stderr


def test_the_broker_refuses_to_start_without_a_password() -> None:
    checked = run(str(BIN / "nats-server"), "-t", "-c", "deploy/nats/nats.conf")
    assert checked.returncode != 0
    assert "PASSWORD" in checked.stderr


def test_compose_runs_the_broker_and_every_service_as_itself() -> None:
    services = compose()["services"]
    assert set(services) == SERVICES | {"nats"}
    for name in SERVICES:
        assert services[name]["build"]["args"] == {"SERVICE": name}
        user = name.upper().replace("-", "_")
        assert services[name]["environment"]["STATION_NATS_URL"] == f"nats://{name}:${{NATS_{user}_PASSWORD}}@nats:4222"


def test_compose_gives_the_broker_each_password_that_it_reads() -> None:
    read = set(re.findall(r"\$(NATS_\w+)", (ROOT / "deploy/nats/nats.conf").read_text()))
    assert read == set(compose()["services"]["nats"]["environment"]) == set(PASSWORDS)


def test_the_image_and_the_broker_have_a_health_check() -> None:
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    port = re.search(r"STATION_METRICS_PORT=(\d+)", dockerfile)
    assert port
    assert f"STATION_HTTP_PORT={port[1]} " in dockerfile
    assert re.search(rf"HEALTHCHECK .*\n.*127\.0\.0\.1:{port[1]}/healthz", dockerfile)
    assert compose()["services"]["nats"]["healthcheck"]["test"]


def test_every_container_keeps_its_data_in_a_volume_of_its_own() -> None:
    for name, service in compose()["services"].items():
        assert f"{name}-data:/data" in service["volumes"], name


@pytest.mark.parametrize("name", [*COMPOSE_FILES, "deploy/Dockerfile"])
def test_every_setting_of_a_deployment_exists(name: str) -> None:
    used = set(re.findall(r"\bSTATION_\w+", (ROOT / name).read_text()))
    assert used
    assert used <= NAMES


def test_every_published_port_is_on_loopback() -> None:
    published = [
        port
        for name in COMPOSE_FILES
        for service in compose(name)["services"].values()
        for port in service.get("ports", [])
    ]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_prometheus_scrapes_every_service() -> None:
    jobs = compose("deploy/prometheus/prometheus.yml")["scrape_configs"]
    targets = [target for job in jobs for entry in job["static_configs"] for target in entry["targets"]]
    assert set(targets) == {f"{name}:8585" for name in SERVICES}


def test_the_collector_listens_where_the_services_send() -> None:
    collector = compose("deploy/otel/collector.yaml")
    port = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rsplit(":", 1)[1]
    observed = compose("deploy/observability.yml")["services"]
    for name in SERVICES:
        assert observed[name]["environment"]["STATION_OTLP_ENDPOINT"] == f"http://otel-collector:{port}"
    pipeline = collector["service"]["pipelines"]["traces"]
    for part in ("receivers", "processors", "exporters"):
        assert set(pipeline.get(part, ())) <= set(collector[part])
