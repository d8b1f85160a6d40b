"""What `stn up` and its relatives read from the environment; options of the command line come first."""

import os
from pathlib import Path
from typing import Literal

import msgspec

from station.cli.errors import USAGE, CommandError
from station.runtime import settings as runtime_settings

WILDCARDS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared, not listened on


class LocalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One Station on this machine."""

    data_dir: Path = Path(".station")
    environments_dir: Path = Path("deploy/environments")
    http_host: str = "127.0.0.1"
    http_port: int = 8585
    nats_embedded: bool = True
    nats_url: str | None = None
    nats_sync: Literal["default", "always"] = "default"
    database_url: str | None = None
    log_format: Literal["json", "console"] | None = None

    @property
    def url(self) -> str:
        """Where this machine reaches the API."""
        return f"http://{WILDCARDS.get(self.http_host, self.http_host)}:{self.http_port}"

    @property
    def database(self) -> Path:
        """The SQLite file."""
        if self.database_url is None:
            return self.data_dir / "station.db"
        return Path(self.database_url.removeprefix("sqlite:///"))


def load(**options: object) -> LocalSettings:
    """Settings from the environment, with the options that are not None over them; paths are made absolute.

    Raises:
        CommandError: naming every setting that cannot be used.
    """
    try:
        loaded = runtime_settings.load(LocalSettings, os.environ)
    except runtime_settings.SettingsError as error:
        raise CommandError(str(error), exit_code=USAGE) from error
    given = {name: value for name, value in options.items() if value is not None}
    merged = msgspec.structs.replace(loaded, **given)
    if not merged.nats_embedded and merged.nats_url is None:
        todo = "set STATION_NATS_URL to the broker's address, or leave STATION_NATS_EMBEDDED out to have one started"
        raise CommandError("STATION_NATS_EMBEDDED is false, but no broker is named", todo=todo, exit_code=USAGE)
    if merged.database_url is not None and not merged.database_url.startswith("sqlite:///"):
        message = f"STATION_DATABASE_URL must be sqlite:///path/to/station.db, not {merged.database_url!r}"
        raise CommandError(message, todo="leave it out for station.db in the data directory", exit_code=USAGE)
    return msgspec.structs.replace(
        merged,
        data_dir=merged.data_dir.expanduser().absolute(),
        environments_dir=merged.environments_dir.expanduser().absolute(),
    )
