"""Fuzzes the HTTP API of a Station that it starts: `just fuzz`, or `python -m tests.fuzz --seed 7 --max-examples 20`.

Requests come from the gateway's own OpenAPI document, good and bad ones, and every answer is held against it: no 500,
no status and no media type that the document does not name. The stream is left out: it does not end.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.system import System

CONFIG = Path(__file__).parent / "data" / "schemathesis.toml"
PROGRAM = Path(sys.executable).parent / "schemathesis"
SEED = 1
_WORKFLOW = """
id: "0"
version: "1"
states:
- {name: wait, type: operation, action: signal.wait, input: {signal: go}, end: true}
"""


def prepare(system: System) -> None:
    """Something that requests with the simplest id can meet: a workflow of that id, and a run that waits."""
    system.apply(_WORKFLOW)
    system.start_run("0", environment="default", runId="0")


def fuzz(system: System, *options: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run schemathesis against a system. Exit code 0: it found nothing."""
    command = [
        str(PROGRAM),
        f"--config-file={CONFIG}",
        "run",
        f"{system.url}/openapi.json",
        f"--url={system.url}",
        "--exclude-operation-id=streamRun",
        "--checks=all",
        "--continue-on-failure",
        "--no-color",
        *options,
    ]
    # Hypothesis and schemathesis leave files where they run.
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ})


def main(arguments: Sequence[str]) -> int:
    """Exit code 1 when something was found, with how to do it again."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--max-examples", type=int, default=100, help="of each operation and phase")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, System(Path(folder)) as system:
        prepare(system)
        done = fuzz(system, f"--seed={chosen.seed}", f"--max-examples={chosen.max_examples}", folder=Path(folder))
        print(done.stdout, done.stderr, sep="\n")
        return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
