"""A child for the supervisor's tests: ``fake_child.py DIRECTORY NAME BEHAVIOUR``.

It notes its start, says that it is ready by a file named after its pid, and notes its stop on SIGTERM.
Behaviours: ``good``; ``stubborn`` ignores SIGTERM; ``crash`` ends with 1 once it is ready; ``refuse`` ends with 2 after
saying why; ``parent`` starts a process of its own that ignores SIGTERM; ``talk`` prints one line longer than any pipe.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

directory, name, behaviour = Path(sys.argv[1]), sys.argv[2], sys.argv[3]


def note(what: str) -> None:
    with (directory / "order").open("a") as file:
        file.write(f"{what} {name} {os.getpid()}\n")


def stop(_number: int, _frame: object) -> None:
    note("stopped")
    sys.exit(0)


if behaviour == "refuse":
    print("STATION_NONSENSE: there is no such setting", flush=True)
    sys.exit(2)
if behaviour == "parent":
    ignoring = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    grandchild = subprocess.Popen([sys.executable, "-ISc", ignoring])
    (directory / "grandchild").write_text(str(grandchild.pid))
signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "stubborn" else stop)
note("started")
print(f"hello from {name}", flush=True)
if behaviour == "talk":
    print("x" * 1_000_000, flush=True)
(directory / f"{name}.{os.getpid()}").touch()
if behaviour == "crash":
    sys.exit(1)
while True:
    time.sleep(60)
