"""The agents of the environment `test`: scripts for the PRD's names, and programs that a test holds in its hand."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.support.system import System

PODS = {"status": "degraded", "pods": [{"name": "checkout-1", "ready": False}]}
SCRIPTED: dict[str, Any] = {
    # What the PRD's examples name
    "analysis": {"error_rate": 0.01, "status": "ok"},
    "analyze": {"verdict": "analyzed"},
    "analyze-results": {"verdict": "results analyzed"},
    "diagnostics": {"verdict": "diagnosed"},
    "k8s-pod-checker": PODS,
    "kubernetes-triage": PODS,
    "log-analyzer": {"errors": 3},
    "plan": {"steps": ["drain", "deploy"]},
    "report-ok": {"reported": "ok"},
    "run-diagnostics": {"reported": "degraded"},
    "summarize": {"verdict": "summarized"},
    # What other tests need
    "ok": {"ok": True},
}
_READ_PIPE = """
import json, sys
request = json.load(sys.stdin)
with open(request["variables"]["pipe"]) as pipe:
    print(pipe.read())
"""
_MEET = """
import json, os, sys
folder, mine, other = sys.argv[1], *json.load(sys.stdin)["task"].split()
pipe = os.path.join(folder, "meet-")
for name in (mine, other):
    try:
        os.mkfifo(pipe + name)
    except FileExistsError:
        pass
# Each opens both pipes in the same order, and an open returns only when the other side has opened it too.
first, second = sorted((mine, other))
for name in (first, second):
    with open(pipe + name, "w" if name == mine else "r"):
        pass
print(json.dumps({"met": other}))
"""
_TREE = """
import json, os, subprocess, sys, time
request = json.load(sys.stdin)
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, 1); time.sleep(600)"])
with open(request["variables"]["pipe"], "w") as pipe:
    pipe.write(json.dumps([os.getpid(), child.pid]))
time.sleep(600)
"""
_ECHO = "import json, sys; print(json.dumps(json.load(sys.stdin)))"
_TALK = "print('x' * 2_000_000)"
_DIE = "import sys; sys.exit('the disk is on fire')"


def write_agents(system: System) -> None:
    """Put all of them there; best before the system starts."""
    for name, answer in SCRIPTED.items():
        system.write_scripted(name, {"answer": answer})
    _write_answers(system)
    _program(system, "gate", _READ_PIPE)
    _program(system, "meet", _MEET, str(system.environments.parent / "tmp"))
    _program(system, "tree", _TREE, kill_after=0.2)
    _program(system, "echo", _ECHO)
    _program(system, "die", _DIE)
    _program(system, "talk", _TALK)


def _write_answers(system: System) -> None:
    """Those whose answer depends on the question."""
    system.write_scripted("fails", {"error": {"type": "agent_error", "message": "no luck"}})
    system.write_scripted("slow", {"answer": {"late": True}, "delaySeconds": 600})
    system.write_scripted(
        "health-checker",
        # The first is the slowest: order must not come from who is ready first.
        {"when": {"task": "billing"}, "answer": {"service": "billing"}, "delaySeconds": 0.2},
        {"when": {"task": "checkout"}, "answer": {"service": "checkout"}, "delaySeconds": 0.1},
        {"when": {"task": "search"}, "answer": {"service": "search"}},
    )
    system.write_scripted(
        "flaky",
        *({"when": {"task": f"^{n}$"}, "error": {"message": f"{n} not yet"}, "times": 1} for n in "abcdefgh"),
        {"answer": {"tried": True}},
    )
    system.write_scripted(
        "counter", *({"answer": {"done": False, "round": n}, "times": 1} for n in (1, 2)), {"answer": {"done": True}}
    )
    schema = {"type": "object", "properties": {"ready": {"type": "boolean"}}, "required": ["ready"]}
    system.write_scripted("liar", {"answer": {"ready": "perhaps"}}, output={"schema": schema})
    system.write_scripted("strict", {"answer": {"ready": True}}, input={"schema": schema}, output={"schema": schema})


def _program(system: System, name: str, code: str, *arguments: str, kill_after: float = 5) -> None:
    command = [sys.executable, "-IS", "-c", code, *arguments]
    front = {"model": "exec", "exec": {"command": command, "killAfterSeconds": kill_after}}
    system.write_agent(name, f"---\n{json.dumps(front)}\n---\nA program.\n")


class Pipe:
    """A named pipe, by which a test waits for an agent's program, or lets it go on."""

    def __init__(self, folder: Path, name: str = "pipe") -> None:
        self.path = folder / name
        os.mkfifo(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def send(self, value: Any) -> None:
        """Wait until the program reads, and give it this as JSON."""
        self.path.write_text(json.dumps(value))

    def receive(self) -> Any:
        """Wait until the program has written and closed."""
        return json.loads(self.path.read_text())
