"""The effect log: agents write one line per execution, by themselves. A second execution is seen, not inferred."""

import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

PROGRAM = """
import json, os, sys, time
request = json.load(sys.stdin)
given = request["variables"]
line = json.dumps({"key": request["idempotencyKey"], "at": time.time_ns() // 10**6, "pid": os.getpid()}) + "\\n"
log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
os.write(log, line.encode())  # one write of a short line to a file that is only appended to: never torn
time.sleep(given.get("seconds", 0))
if request["attempt"] <= given.get("failures", 0):
    sys.exit("not yet")
if "count" in given:
    print(json.dumps({"count": given["count"] + 1}))
else:
    print(json.dumps({"answer": given.get("answer"), "attempt": request["attempt"]}))
"""


class Effect(Struct, frozen=True):
    """One execution. ``key``: run, step and attempt with colons between them. ``at``: milliseconds since 1970."""

    key: str
    at: int
    pid: int


def agent_file(log: Path) -> str:
    """The agent whose every execution is a line in ``log``."""
    options = {"command": [sys.executable, "-IS", "-c", PROGRAM, str(log)], "killAfterSeconds": 0.2}
    matter = msgspec.json.encode({"model": "exec", "exec": options}).decode()
    return f"---\n{matter}\n---\nLeaves a mark.\n"


def read(log: Path) -> dict[str, list[Effect]]:
    """Executions by key, oldest first."""
    found: dict[str, list[Effect]] = {}
    lines: Iterable[bytes] = log.read_bytes().splitlines() if log.exists() else ()
    for line in lines:
        effect = msgspec.json.decode(line, type=Effect)
        found.setdefault(effect.key, []).append(effect)
    for effects in found.values():
        effects.sort(key=lambda effect: effect.at)
    return found
