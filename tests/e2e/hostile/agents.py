"""Agents that misbehave, each in one way."""

import json
import sys

from tests.support.system import System

PROGRAMS = {
    # Each ignores what it is asked.
    "not-json": "print('{\"ready\": ')",
    "binary": "import sys; sys.stdout.buffer.write(bytes(range(256)) * 100)",
    "too-large": "print('x' * 200_000)",
    "endless": "import sys\nwhile True: sys.stdout.write('x' * 65536)",
    "noisy": "import sys\nfor _ in range(300): sys.stderr.write('e' * 65536)\nprint('{\"quiet\": false}')",
    "mute": "import os, time; os.close(1); os.close(2); time.sleep(3600)",
    "stubborn": "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)",
    # Its children are many, ignore SIGTERM and hold its stdout; it answers all the same.
    "breeder": (
        "import os, signal, time\n"
        "for _ in range(20):\n"
        "    if not os.fork():\n"
        "        signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)\n"
        "print('{\"bred\": 20}')"
    ),
    "odd-numbers": "print('{\"n\": 1e400}')",
    "deep": "print('[' * 40_000 + ']' * 40_000)",
    "template": 'print(\'{"text": "{{ secret }} {{ ctx.secret }} {% x %}"}\')',
    "gate": "import json, sys; print(open(json.load(sys.stdin)['variables']['pipe']).read())",
    "echo": "import json, sys; print(json.dumps(json.load(sys.stdin)['variables']))",
}
OBJECT = {"schema": {"type": "object"}}


def write_agents(system: System) -> None:
    """Put all of them there, before the system starts."""
    system.write_scripted("ok", {"answer": {"ok": True}})
    for name, code in PROGRAMS.items():
        given = {"command": [sys.executable, "-IS", "-c", code], "killAfterSeconds": 0.2}
        output = OBJECT if name in {"not-json", "odd-numbers", "deep"} else None
        front = {"model": "exec", "exec": given} | ({"output": output} if output else {})
        system.write_agent(name, f"---\n{json.dumps(front)}\n---\nMisbehaves.\n")
