"""Measures Station: `just bench`, or `python -m tests.bench W1 W3 --rounds 1`. See `--help` and tests/benchmarks/.

It asserts nothing: it prints figures, and says which floor is not reached.
"""

import asyncio
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from tests.benchmarks import machine, options, peers, profiling, session, table
from tests.benchmarks.errors import BenchError
from tests.benchmarks.options import Options
from tests.benchmarks.scale import FULL, QUICK
from tests.benchmarks.session import Result


def main() -> int:
    """Exit code 1 when something is missing or a run did not do what it should."""
    chosen = options.parse(sys.argv[1:])
    try:
        _check(chosen)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            _measure(chosen, runner)
    except (BenchError, ConnectionError, TimeoutError) as error:
        print(f"bench: {error or type(error).__name__}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: broken off; everything that it started is stopped", file=sys.stderr)
        return 130
    return 0


def _check(chosen: Options) -> None:
    """Find out what is missing before anything is measured."""
    for folder in (chosen.directory, chosen.json.parent if chosen.json else None):
        if folder is not None and not folder.is_dir():
            raise BenchError(f"there is no folder {folder}; make it, or name another")
    if not machine.BINARY.exists():
        raise BenchError(f"there is no NATS server at {machine.BINARY}; run `just setup`")
    if chosen.profile:
        profiling.find_py_spy()
    for name in chosen.peers:
        assert chosen.peers_dir is not None
        peers.check_drivers(name, chosen.peers_dir)


def _measure(chosen: Options, runner: asyncio.Runner) -> None:
    scale = QUICK if chosen.quick else FULL
    facts = machine.examine(chosen.directory or Path(tempfile.gettempdir()))
    _print(table.machine_lines(facts))
    results: dict[str, Result] = {}
    outcomes: dict[str, peers.Outcome] = {}
    try:
        for name in chosen.workloads:
            measuring = session.measure(
                name,
                scale,
                rounds=chosen.rounds,
                directory=chosen.directory,
                told=_tell,
                figures=chosen.figures,
            )
            results[name] = runner.run(measuring)
            _print(table.result_lines(results[name], full=not chosen.quick))
        for name in chosen.profile:
            _profile(name, chosen, runner)
        for name in chosen.peers:
            outcomes[name] = _peer(name, chosen, results)
    finally:  # what was measured before an error is kept
        if chosen.json:
            document: dict[str, Any] = {"machine": facts, "scale": scale, "station": results, "peers": outcomes}
            chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(document)))


def _profile(name: str, chosen: Options, runner: asyncio.Runner) -> None:
    folder = chosen.profile_folder / name
    folder.mkdir(parents=True, exist_ok=True)
    _tell(f"{name} under the profiler")
    scale = QUICK if chosen.quick else FULL
    done = runner.run(session.profile(name, scale, directory=chosen.directory, folder=folder))
    _print(["", *profiling.table_lines(name, folder, done.usage)])


def _peer(name: str, chosen: Options, results: dict[str, Result]) -> peers.Outcome:
    assert chosen.peers_dir is not None
    _tell(f"{name} (the first time it is installed into {chosen.cache / name})")
    scale = QUICK if chosen.quick else FULL
    outcome = peers.measure(
        name, chosen.workloads, scale, rounds=chosen.rounds, peers_dir=chosen.peers_dir, cache=chosen.cache
    )
    _print(table.comparison_lines(name, results, outcome.medians))
    return outcome


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


def _tell(doing: str) -> None:
    """Progress, apart from the report."""
    print(f"... {doing}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
