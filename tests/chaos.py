"""``python -m tests.chaos``: kill the processes at random while runs are in flight, and check what is left.

Exit code 0: every invariant holds. 1: one does not, or something was lost, or it did not come to its end in time.
"""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos_rig.campaign import FIGURE, Plan, wage
from tests.chaos_rig.report import show, write


def main() -> int:
    """Run one campaign and print its report."""
    given = _arguments().parse_args()
    seed = random.randrange(1_000_000) if given.seed is None else given.seed
    seconds, faults = given.seconds, given.faults
    if seconds is None and faults is None:
        seconds, faults = (20.0, None) if given.quick else (None, 500)
    plan = Plan(
        seed=seed,
        faults=faults,
        seconds=seconds,
        a_second=given.rate,
        single=0 if given.quick else given.single,
        in_flight=given.in_flight,
        settle_seconds=given.settle,
        drain_seconds=0 if given.quick else 60,
    )
    directory = given.directory or Path(tempfile.mkdtemp(prefix="station-chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    print(f"seed {seed}; everything is kept in {directory}", flush=True)
    report = wage(plan, directory)
    write(report, given.json or directory / "report.json")
    if given.figures is not None:
        given.figures.mkdir(parents=True, exist_ok=True)
        shutil.copy(directory / f"{FIGURE}.svg", given.figures / "chaos.svg")
    print(show(report))
    return 0 if report.sound else 1


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="just chaos", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, help="of the faults and the load; not given: any, and it is printed")
    parser.add_argument("--faults", type=int, help="stop after so many (500 is the default)")
    parser.add_argument("--seconds", type=float, help="stop after so many seconds")
    parser.add_argument("--quick", action="store_true", help="20 seconds")
    parser.add_argument("--rate", type=float, default=3.0, help="faults a second (3)")
    parser.add_argument("--single", type=int, default=30, help="the first so many come one at a time (30)")
    parser.add_argument("--in-flight", type=int, default=24, help="runs that are going at a time (24)")
    parser.add_argument("--settle", type=float, default=120.0, help="seconds to the end after the last fault (120)")
    parser.add_argument("--directory", type=Path, help="an empty one for data and logs; not given: a new one in TMPDIR")
    parser.add_argument("--json", type=Path, help="where the report goes; not given: report.json in the directory")
    parser.add_argument("--figures", type=Path, help="a folder that gets the plot of the queues, as chaos.svg")
    return parser


if __name__ == "__main__":
    sys.exit(main())
