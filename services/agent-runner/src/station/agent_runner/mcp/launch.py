"""Becomes a server's program, and sees to it that the program ends with the runner, even by SIGKILL.

It is run as a script, with nothing but the standard library: ``launch.py <runner's pid> <names to drop> <program> …``.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
NOT_STARTED = 127


def main() -> None:
    """Give this process up to the program."""
    runner, unwanted, program = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != runner:
        sys.exit("the runner has ended meanwhile")
    for name in filter(None, unwanted.split(",")):
        os.environ.pop(name, None)
    try:
        os.execvp(program[0], program)  # noqa: S606 - the operator's program, and no shell
    except OSError as error:
        sys.stderr.write(f"cannot start {program[0]}: {error.strerror}\n")
        sys.exit(NOT_STARTED)


if __name__ == "__main__":
    main()
