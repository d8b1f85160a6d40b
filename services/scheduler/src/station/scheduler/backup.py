"""``python -m station.scheduler.backup --database PATH --to PATH``: a copy of one moment, while it is in use."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from station.contracts.backups import BackupReport
from station.scheduler.store.copies import copied, sync_directory
from station.scheduler.store.database import StoreError


def backup(database: Path, target: Path, *, force: bool = False) -> BackupReport:
    """Copy the database to ``target``, which must not exist unless ``force`` is given. Raises StoreError."""
    if not database.is_file():
        raise StoreError(f"There is no database {database}: nothing was started on it yet, or it lies elsewhere.")
    if target.exists():
        if target.is_dir() or not force:
            raise StoreError(f"{target} exists. Name another file, or give --force to have a file replaced.")
        if target.samefile(database):
            raise StoreError(f"{target} is the database itself. Name another file.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The folder {target.parent} cannot be made: {error}. Name another file.") from error
    with copied(database, target) as (draft, contents):
        _name(draft, target, force=force)
        sync_directory(target.parent)
    return BackupReport(path=str(target), bytes=target.stat().st_size, runs=contents.runs, events=contents.events)


def _name(draft: Path, target: Path, *, force: bool) -> None:
    """Somebody may have made a file of that name meanwhile: the name is taken first, then it gets its content."""
    if not force:
        try:
            target.touch(exist_ok=False)
        except FileExistsError:
            raise StoreError(f"{target} was made by somebody else meanwhile. Name another file.") from None
    draft.replace(target)


def main() -> None:
    """Print the report as JSON; exit 2 with a sentence when there is no copy."""
    parser = argparse.ArgumentParser(description="Copy a Station database while it is in use.")
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    wanted = parser.parse_args()
    try:
        report = backup(wanted.database, wanted.to, force=wanted.force)
    except StoreError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")


if __name__ == "__main__":
    main()
