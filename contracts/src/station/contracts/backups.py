"""What the commands that copy the database and put a copy in its place report, as JSON on their output."""

import msgspec


class BackupReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A copy that was made, and read through."""

    path: str
    bytes: int
    runs: int
    events: int


class RestoreReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A copy that is the database now."""

    database: str
    runs: int
    events: int
    replaced: str | None = None
    """Where the database that was there before is kept; None if there was none."""
