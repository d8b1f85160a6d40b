"""The command line of the benchmark."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.benchmarks.peers import PEERS
from tests.benchmarks.session import WORKLOADS

ROUNDS = 3
_PROFILES = Path("build") / "profiles"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for."""

    workloads: tuple[str, ...]
    rounds: int
    quick: bool
    json: Path | None
    profile: tuple[str, ...]
    profile_folder: Path
    """Each workload's profiles go into a folder of its own below it."""
    peers: tuple[str, ...]
    peers_dir: Path | None
    cache: Path
    directory: Path | None
    figures: Path | None


def parse(arguments: Sequence[str]) -> Options:
    """Options of these arguments; what cannot be used ends the process with a sentence (exit code 2)."""
    parser = _parser()
    found = parser.parse_args(arguments)
    unknown = [name for name in found.workloads if name not in WORKLOADS]
    if unknown:
        parser.error(f"there is no workload {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    if found.rounds < 1:
        parser.error("--rounds is at least 1")
    if found.peer and found.peers_dir is None:
        parser.error("--peer needs --peers-dir, the folder with harness.py and the peers' drivers")
    everything = () if found.profile else tuple(name for name in WORKLOADS if name != "SCALE")
    return Options(
        workloads=tuple(dict.fromkeys(found.workloads)) or everything,
        rounds=found.rounds,
        quick=found.quick,
        json=found.json,
        profile=tuple(dict.fromkeys(found.profile)),
        profile_folder=found.profile_folder,
        peers=tuple(dict.fromkeys(found.peer)),
        peers_dir=found.peers_dir.resolve() if found.peers_dir else None,
        cache=found.cache,
        directory=found.directory,
        figures=found.figures,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="just bench",
        description="Measure a Station of its own, started for it on this machine; everything it starts ends with it.",
        epilog="W1 many runs, W2 single runs, W3 a wide run, W4 signals, W5 a crash, W6 parked runs, W7 long runs, "
        "SCALE a database that is full",
    )
    add = parser.add_argument
    add("workloads", nargs="*", metavar="W1..W7|SCALE", help="which ones; W1 to W7 when none is named")
    add("--rounds", type=int, default=ROUNDS, help=f"of each workload; the median is shown (default {ROUNDS})")
    add("--quick", action="store_true", help="a fifth of the work: shows that all runs, not how fast")
    add("--json", type=Path, metavar="FILE", help="write everything that was measured")
    add(
        "--profile",
        action="append",
        choices=WORKLOADS,
        default=[],
        metavar="W",
        help="one more round of this workload under py-spy; may be repeated",
    )
    add("--profile-folder", type=Path, metavar="DIR", default=_PROFILES, help="where they go (default %(default)s)")
    add("--peer", action="append", choices=PEERS, default=[], help="run this engine's driver too; may be repeated")
    add("--peers-dir", type=Path, metavar="DIR", help="the folder with harness.py and the peers' drivers")
    add("--cache", type=Path, metavar="DIR", default=_cache(), help="where peers are installed (default %(default)s)")
    add("--figures", type=Path, metavar="DIR", help="sample the queues, and plot them there: <workload>.svg and .jsonl")
    add("--directory", type=Path, metavar="DIR", help="where data directories are made (default: temporary files)")
    return parser


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "station-bench"
