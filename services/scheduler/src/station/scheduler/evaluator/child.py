"""The helper process: reads conditions from stdin, answers on stdout, and is expendable.

Run as a file with `python -I`: it imports nothing of Station's. Frames are a length (4 bytes, big-endian) and JSON.
The request is `{"conditions": [starlark], "names": {name: value}}`; the answer `{"matched": index or -1}` or
`{"failed": index, "problem": text}`. The first frame, sent unasked, says `{"ready": true}` or `{"problem": text}`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any

ADDRESS_SPACE_BYTES = 512 * 1024 * 1024
OPEN_FILES = 16
SOFT_LIMIT_SECONDS = 0.1
CALL_DEPTH = 64
MAX_PROBLEM_CHARACTERS = 1000

_PR_SET_PDEATHSIG = 1


def confine() -> None:
    """Take on the limits, and die with the scheduler even in the middle of a builtin."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for name, limit in (("AS", ADDRESS_SPACE_BYTES), ("CORE", 0), ("NOFILE", OPEN_FILES)):
        with contextlib.suppress(ValueError, OSError):  # macOS refuses a limit on the address space
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))


class Conditions:
    """Starlark with the prelude loaded once."""

    def __init__(self) -> None:
        import starlark  # noqa: PLC0415 - a missing one is reported in the first frame

        self._starlark = starlark
        self._globals = starlark.Globals.standard()
        prelude = starlark.Module()
        source = Path(__file__).with_name("prelude.star").read_text(encoding="utf-8")
        starlark.eval(prelude, starlark.parse("prelude", source), self._globals)
        frozen = prelude.freeze()
        self._loader = starlark.FileLoader(lambda _name: frozen)
        self._expired = False
        self.index = 0
        """The condition being evaluated."""

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Evaluate in order up to the first true condition or the first failure."""
        self.index = 0
        try:
            module = self._starlark.Module()
            for name, value in request["names"].items():
                module[_starlark_name(name)] = value
            for self.index, condition in enumerate(request["conditions"]):
                if self._holds(module, condition):
                    return {"matched": self.index}
        except (self._starlark.StarlarkError, ValueError, TypeError, RecursionError) as error:
            return {"failed": self.index, "problem": self._problem(error)}
        return {"matched": -1}

    def _holds(self, module: Any, condition: str) -> bool:
        star = self._starlark
        source = f"{_LOAD}truth_({condition})"
        deadline = time.process_time() + SOFT_LIMIT_SECONDS
        self._expired = False

        def expired() -> bool:
            self._expired = time.process_time() > deadline  # of CPU: a busy machine is no fault
            return self._expired

        options = star.EvalOptions(check_cancelled=expired, max_callstack_size=CALL_DEPTH)
        result = star.eval_with(options, module, star.parse("condition", source), self._globals, self._loader)
        return result.value is True

    def _problem(self, error: Exception) -> str:
        if self._expired:
            return f"the condition took longer than {SOFT_LIMIT_SECONDS * 1000:.0f} ms"
        text = str(error)
        plain = next((line for line in text.splitlines() if line.startswith("error: ")), text)
        return plain.removeprefix("error: ").removeprefix("fail: ")[:MAX_PROBLEM_CHARACTERS]


_LOAD = 'load("prelude", "attr_", "item_", "getattr_", "hasattr_", "truth_")\n'


def _starlark_name(name: str) -> str:
    """Name a binding as the translation of conditions does."""
    return f"v_{name}" if name.isascii() else f"w_{name.encode().hex()}"


def _read(count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = os.read(0, count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _write(answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    data = struct.pack(">I", len(body)) + body
    while data:
        data = data[os.write(1, data) :]


def serve(conditions: Conditions) -> None:
    """Answer until stdin ends. A panic in Starlark or a lack of memory is answered, and ends the process."""
    while True:
        request = json.loads(_read(struct.unpack(">I", _read(4))[0]))
        try:
            _write(conditions.answer(request))
        except EOFError:
            raise
        except BaseException as error:  # noqa: BLE001 - a Rust panic is no Exception
            what = "memory" if isinstance(error, MemoryError) else f"its limits ({type(error).__name__})"
            _write({"failed": conditions.index, "problem": f"the condition ran out of {what}", "last": True})
            os._exit(1)


def main() -> None:
    """Start up, say so, serve."""
    try:
        conditions = Conditions()
        confine()
    except Exception as error:  # noqa: BLE001 - whatever it is, the scheduler has to say it
        _write({"problem": f"{type(error).__name__}: {error}"})
        return
    _write({"ready": True})
    with contextlib.suppress(EOFError, BrokenPipeError):
        serve(conditions)


if __name__ == "__main__":
    main()
