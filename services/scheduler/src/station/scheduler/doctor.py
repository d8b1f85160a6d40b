"""``python -m station.scheduler.doctor --database PATH --json``: the invariants of a store that nobody serves."""

from __future__ import annotations

import argparse
import sqlite3
import sys
from pathlib import Path

import msgspec

from station.contracts.health import DoctorReport
from station.scheduler.engine.doctor import examine
from station.scheduler.store.database import open_reader


def check(database: Path, limit: int = 1000) -> DoctorReport:
    """Check a database through a read-only connection. Raises sqlite3.Error if it cannot be read."""
    connection = open_reader(database)
    try:
        return examine(connection, limit)
    finally:
        connection.close()


def main() -> None:
    """Print the report; exit 1 when something is wrong, 2 when the database cannot be read."""
    parser = argparse.ArgumentParser(description="Check the invariants of a Station database.")
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=1000, help="how many of the newest runs")
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    try:
        report = check(wanted.database, wanted.limit)
    except sqlite3.Error as error:
        sys.stderr.write(f"{wanted.database} cannot be read: {error}\n")
        sys.exit(2)
    if wanted.json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        sys.stdout.write(f"{report.checked_runs} runs, {report.checked_events} events checked\n")
        for finding in (*report.findings, *report.dead_letters):
            sys.stdout.write(f"{finding.check}: {finding.subject}: {finding.detail}\n")
    sys.exit(1 if report.findings else 0)


if __name__ == "__main__":
    main()
