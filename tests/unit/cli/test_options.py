"""Where the commands look for Station when nobody has said it, and settings that are refused before anything starts."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from station.cli.errors import USAGE, CommandError
from station.cli.options import default_url
from station.cli.supervisor import settings
from station.cli.supervisor.lock import DataDirectoryLock
from station.cli.supervisor.system import SystemState


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("STATION_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STATION_DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def held(directory: Path) -> Iterator[Path]:
    with DataDirectoryLock(directory):
        yield directory


def test_without_a_station_the_address_is_where_one_would_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_url() == "http://127.0.0.1:8585"
    monkeypatch.setenv("STATION_HTTP_PORT", "9000")
    assert default_url() == "http://127.0.0.1:9000"


def test_the_station_of_the_data_directory_is_found_wherever_it_answers(held: Path) -> None:
    state = SystemState(pid=os.getpid(), url="http://127.0.0.1:7777", ready=True, started_at="", services=())
    (held / "run").mkdir()
    (held / "run" / "stn.json").write_bytes(msgspec.json.encode(state))
    assert default_url() == "http://127.0.0.1:7777"


def test_a_station_that_only_begins_has_no_address_yet(held: Path) -> None:
    assert default_url() == "http://127.0.0.1:8585"


@pytest.mark.parametrize("address", ["postgres://x", "station.db", "sqlite://x.db"])
def test_a_database_that_is_not_sqlite_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("STATION_DATABASE_URL", address)
    with pytest.raises(CommandError, match="STATION_DATABASE_URL must be sqlite:///") as refused:
        settings.load()
    assert refused.value.exit_code == USAGE
