"""Scripts for Node, with the packages of their folder: installed with `npm ci` once, and when the lock changes."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

SECONDS = 60


def run_script(script: Path, *arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    install(script.parent)
    return subprocess.run(
        ["node", str(script), *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def install(folder: Path) -> None:
    """Make ``node_modules`` what the lock file says; tests that run side by side wait for each other."""
    assert shutil.which("npm"), "Node with npm is needed: install it, and run the tests again"
    lock, done = folder / "package-lock.json", folder / "node_modules" / ".installed"
    (folder / "node_modules").mkdir(exist_ok=True)
    with (folder / "package.json").open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if done.exists() and done.read_text() == lock.read_text():
            return
        installed = subprocess.run(
            ["npm", "ci"], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert installed.returncode == 0, installed.stderr
        done.write_text(lock.read_text())
