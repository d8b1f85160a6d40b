"""Where the example agents keep their files: never in the environment's folder, which several systems may share.

`$TRIAGE_DIR` if the agent's file sets it, else one folder for each user in the system's folder for temporary files.
Deleting it loses samples, reports and the outbox, and nothing else.
"""

import fcntl
import json
import os
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agent_io import fail


def work_dir() -> Path:
    """Make the folder if it is missing; refuse one that somebody else has put there."""
    named = os.environ.get("TRIAGE_DIR")
    path = Path(named) if named else Path(os.environ.get("TMPDIR") or "/tmp") / f"station-triage-{os.getuid()}"  # noqa: S108 - owner is checked
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        fail(f"cannot use {path} as work directory: {error.strerror}; set TRIAGE_DIR in the agent's env")
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        fail(f"{path} is not a directory of this user; remove it, or set TRIAGE_DIR in the agent's env")
    return path


@contextmanager
def locked(directory: Path) -> Generator[None]:
    """Let one program at a time change the files of the work directory; a program that dies gives the lock back."""
    with (directory / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def append_line(path: Path, value: Mapping[str, object]) -> None:
    """Add one line of JSON, in one write."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(value, ensure_ascii=False) + "\n")


def replace_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new one, never a part."""
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def log_file(directory: Path) -> Path:
    """Where host-log-sample writes and host-log-rotate takes away."""
    return directory / "host-triage.log"
