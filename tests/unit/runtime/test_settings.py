"""Settings come from the environment, and everything that is wrong with them is said at once."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from station.runtime.environment import VARIABLES, unknown
from station.runtime.settings import SettingsError, effective, load, masked_url


class Settings(msgspec.Struct, frozen=True):
    nats_url: str
    http_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8585
    lease_seconds: float = 15
    nats_embedded: bool = True
    data_dir: Path = Path(".station")
    otlp_endpoint: str | None = None
    log_format: Literal["json", "console"] | None = None
    runner_concurrency: int | None = None


URL = {"STATION_NATS_URL": "nats://localhost"}


def test_every_type_is_read_from_its_text() -> None:
    environ = URL | {
        "STATION_HTTP_PORT": "80",
        "STATION_LEASE_SECONDS": "2.5",
        "STATION_NATS_EMBEDDED": "false",
        "STATION_DATA_DIR": "/srv/station",
        "STATION_OTLP_ENDPOINT": "http://collector:4318",
        "STATION_LOG_FORMAT": "console",
        "STATION_RUNNER_CONCURRENCY": "8",
        "HOME": "/nowhere",
    }
    assert load(Settings, environ) == Settings(
        nats_url="nats://localhost",
        http_port=80,
        lease_seconds=2.5,
        nats_embedded=False,
        data_dir=Path("/srv/station"),
        otlp_endpoint="http://collector:4318",
        log_format="console",
        runner_concurrency=8,
    )


def test_what_is_not_set_or_empty_keeps_its_default() -> None:
    assert load(Settings, URL | {"STATION_HTTP_PORT": "", "STATION_OTLP_ENDPOINT": " "}) == Settings("nats://localhost")


def test_all_problems_are_told_together_with_what_to_do() -> None:
    environ = {
        "STATION_HTTP_PORT": "70000",
        "STATION_NATS_EMBEDDED": "perhaps",
        "STATION_LOG_FORMAT": "xml",
        "STATION_HTTP_PROT": "80",
        "STATION_NATS_JETSTREAM_ENABLED": "False",
    }
    with pytest.raises(SettingsError) as caught:
        load(Settings, environ)
    found = {problem.path: problem for problem in caught.value.problems}
    assert {path: problem.code for path, problem in found.items()} == {
        "STATION_HTTP_PORT": "setting_invalid",
        "STATION_NATS_EMBEDDED": "setting_invalid",
        "STATION_LOG_FORMAT": "setting_invalid",
        "STATION_HTTP_PROT": "unknown_setting",
        "STATION_NATS_JETSTREAM_ENABLED": "jetstream_needed",
        "STATION_NATS_URL": "setting_missing",
    }
    assert all(problem.message and problem.hint for problem in found.values())
    assert "STATION_HTTP_PORT" in str(found["STATION_HTTP_PROT"].hint)
    assert all(path in str(caught.value) for path in found)


def test_a_variable_unlike_any_is_refused_without_a_guess() -> None:
    [problem] = unknown({"STATION_COLOUR_OF_THE_SHED": "green", "PATH": "/bin"})
    assert problem.path == "STATION_COLOUR_OF_THE_SHED"
    assert "Did you mean" not in str(problem.hint)


def test_a_password_is_never_shown() -> None:
    settings = load(Settings, {"STATION_NATS_URL": "nats://runner:hunter2@broker:4222", "STATION_DATA_DIR": "/srv"})
    shown = effective(settings)
    assert shown["nats_url"] == "nats://runner:***@broker:4222"
    assert shown["data_dir"] == "/srv"
    assert "hunter2" not in str(shown)
    assert masked_url("nats://token@broker") == "nats://***@broker"
    assert masked_url("sqlite:///a/b.db") == "sqlite:///a/b.db"


def test_a_password_is_not_shown_in_a_problem_either() -> None:
    class Wrong(msgspec.Struct, frozen=True):
        nats_url: int

    with pytest.raises(SettingsError) as caught:
        load(Wrong, {"STATION_NATS_URL": "nats://runner:hunter2@broker"})
    assert "hunter2" not in str(caught.value)


def test_the_table_has_each_variable_once_and_says_what_it_means() -> None:
    names = [variable.name for variable in VARIABLES]
    assert len(set(names)) == len(names)
    assert all(
        variable.name.startswith("STATION_") and variable.meaning and variable.services for variable in VARIABLES
    )
