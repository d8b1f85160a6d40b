"""The agent host-log-rotate: moves the log that the workflow owns into the archive, once for each step of a run.

The archive's file is named after the step: if it is there, the step has been done, and saying so is all that is left.
"""

import re
from pathlib import Path

from agent_io import action_key, answer, fail, read_request
from work_dir import locked, log_file, work_dir

_KEPT = 20


def main() -> None:
    """Answer with where the log has gone; `rotated` is false if there was none."""
    key = action_key(read_request())
    directory = work_dir()
    log, archive = log_file(directory), directory / "archive"
    archived = archive / f"{re.sub(r'[^A-Za-z0-9_-]', '-', key)}.log"
    try:
        archive.mkdir(exist_ok=True)
        with locked(directory):
            if not archived.exists() and log.exists():
                log.rename(archived)
            rotated = archived.exists()
            size = archived.stat().st_size if rotated else 0
            _drop_oldest(archive)
    except OSError as error:
        fail(f"cannot rotate {log}: {error.strerror}")
    answer({"rotated": rotated, "log": str(log), "archive": str(archived) if rotated else None, "bytes": size})


def _drop_oldest(archive: Path) -> None:
    for old in sorted(archive.glob("*.log"), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        old.unlink()


if __name__ == "__main__":
    main()
