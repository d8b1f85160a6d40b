"""The ``exec`` backend: a local program gets one JSON object on stdin and answers on stdout. No shell anywhere.

The rule: the program sees the environment that its file gives it and a minimal one, never the runner's own settings.
"""

import codecs
import errno
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from station.agent_runner.backends.leftovers import KEY, Leftovers
from station.agent_runner.backends.program import STDERR_TAIL, Finished, Launch, run_program
from station.agent_runner.backends.protocol import AgentCall, Answer, Misconfigured
from station.agent_runner.backends.request import program_input
from station.agent_runner.failures import AttemptFailed, agent_error, too_large
from station.agent_runner.redaction import looks_secret

INHERITED = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")
DEFAULT_KILL_AFTER = 5.0


class ExecOptions(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    command: Annotated[tuple[str, ...], Meta(min_length=1)]
    """Program and arguments. A program without a slash is looked up on ``PATH``; one with a slash, from ``cwd``."""
    cwd: str | None = None
    """From the environment's folder, which is the default."""
    env: dict[str, str] = {}
    kill_after_seconds: Annotated[float, Meta(ge=0, le=300)] = DEFAULT_KILL_AFTER
    """Between SIGTERM and SIGKILL."""


class ExecBackend:
    """Runs local programs."""

    prefixes: tuple[str, ...] = ("exec",)
    repeatable = False

    def __init__(self, leftovers: Leftovers, learn: Callable[[str], None] = lambda _: None) -> None:
        """``learn`` is told the secrets that a file gives its program."""
        self._leftovers = leftovers
        self._learn = learn

    def configure(self, front_matter: Mapping[str, Any], folder: Path) -> ExecOptions:
        """Read the object under ``exec``."""
        if "exec" not in front_matter:
            raise Misconfigured("model exec needs `exec: {command: [program, argument, …]}`")
        try:
            options = msgspec.convert(front_matter["exec"], ExecOptions)
        except msgspec.ValidationError as error:
            raise Misconfigured(f"`exec`: {error}") from error
        if not options.command[0] or any("\0" in part for part in options.command):
            raise Misconfigured("`exec.command` must begin with a program, and holds no NUL characters")
        return options

    def clean_up(self) -> None:
        """Kill programs that outlived the runner which started them."""
        self._leftovers.sweep()

    async def run(self, call: AgentCall) -> Answer:
        """Run the program of one attempt."""
        options: ExecOptions = call.agent.options
        cwd = call.agent.folder / (options.cwd or "")
        if not cwd.is_dir():
            raise agent_error(f"the working directory {cwd} of the agent's program does not exist", retryable=False)
        for name, value in options.env.items():
            if looks_secret(name):
                self._learn(value)
        launch = Launch(
            command=options.command,
            stdin=msgspec.json.encode(await program_input(call)),
            cwd=cwd,
            env=_environment(call, options),
            max_stdout=call.max_output_bytes,
            kill_after=options.kill_after_seconds,
            on_stderr=_told(call),
        )
        try:
            finished = await run_program(launch, lambda group: self._leftovers.noted(group, call.idempotency_key))
        except OSError as error:
            raise _not_started(error, options.command[0]) from error
        return _answer(finished, call, options.command[0])


def _environment(call: AgentCall, options: ExecOptions) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {
        **inherited,
        **options.env,
        "STATION_RUN_ID": call.run_id,
        "STATION_STEP_ID": call.step_id,
        "STATION_ATTEMPT": str(call.attempt),
        KEY: call.idempotency_key,
    }


def _told(call: AgentCall) -> Callable[[bytes], None]:
    """What the program writes to stderr is what it says while it works."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    return lambda data: call.progress.say("text", agent=call.agent.name, text=decoder.decode(data))


def _answer(finished: Finished, call: AgentCall, program: str) -> Answer:
    if finished.overflowed:
        raise too_large(f"what {program} wrote to stdout", limit=call.max_output_bytes)
    if finished.exit_code != 0:
        raise agent_error(f"{program} {_exit_words(finished.exit_code)}{_tail_words(finished.stderr_tail)}")
    try:
        # The line end that nearly every program writes last is not part of what it says, as in a shell's $(…).
        return Answer(finished.stdout.decode().rstrip("\r\n"))
    except UnicodeDecodeError as error:
        raise agent_error(f"{program} wrote bytes to stdout that are not UTF-8 text: {error.reason}") from error


def _exit_words(code: int) -> str:
    if code > 0:
        return f"ended with exit status {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _tail_words(tail: bytes) -> str:
    whole = tail.partition(b"\n")[2] if len(tail) == STDERR_TAIL else b""
    # Of a line that was cut the rest may be half a secret, which nobody would know as one.
    text = (whole or tail).decode(errors="replace").strip()
    return f"; the end of its stderr:\n{text}" if text else "; it wrote nothing to stderr"


def _not_started(error: OSError, program: str) -> AttemptFailed:
    """Most of these are mistakes of the file or the host; only want of memory or processes may pass by itself."""
    reasons = {
        errno.ENOENT: "it was not found; install it, or write its full path in `exec.command`",
        errno.EACCES: "it is not executable; run chmod +x on it, or put its interpreter first in `exec.command`",
        errno.ENOEXEC: "it is neither a program nor a script with a #! line; put its interpreter first",
        errno.E2BIG: "its arguments and environment are too long; pass large data in `variables`, which come on stdin",
    }
    message = f"cannot start {program}: {reasons.get(error.errno or 0, error.strerror or str(error))}"
    return agent_error(message, retryable=error.errno in {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
