"""Runs one agent by itself: a process of the agent-runner does the work, and what it says is shown as it comes."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

import msgspec
from rich.text import Text

from station.cli.errors import INTERRUPTED, CommandError
from station.cli.output import Output, compact, console, duration, plain, problem_lines
from station.contracts.alone import AloneLine, AloneOutcome, RunAlone
from station.contracts.errors import ErrorType
from station.contracts.progress import AgentProgress
from station.contracts.usage import Usage

MODULE = "station.agent_runner.alone"
END_SECONDS = 15.0
"""For the agent to end after Ctrl-C; its programs get SIGTERM and some seconds, too."""
SHOWN = 200
HINTS = {
    ErrorType.TIMEOUT: "give it more time with --timeout",
    ErrorType.VALIDATION: "compare with `input.schema` and `output.schema` of its file",
}


def run_alone(request: RunAlone, environment: dict[str, str], out: Output) -> None:
    """Run it and show it: progress on stderr, the result as JSON on stdout, or with JSON the whole outcome.

    Raises:
        CommandError: it failed; or the process ended without a word.
        KeyboardInterrupt: Ctrl-C; the agent and its programs have ended.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for us; the agent ends when its stdin does, also if we are killed
    )
    assert process.stdin is not None
    assert process.stdout is not None
    show = None if out.is_json else Telling()
    try:
        outcome = _converse(process.stdin, process.stdout, request, show)
    except KeyboardInterrupt:
        _interrupted(process, show)
        raise
    finally:
        _end(process)
    if outcome is None:
        raise CommandError(
            f"the process that runs the agent ended with code {process.returncode} and no result",
            where=MODULE,
            todo="its own words stand above",
        )
    _show(outcome, request, out)


def _converse(stdin: IO[bytes], stdout: IO[bytes], request: RunAlone, show: "Telling | None") -> AloneOutcome | None:
    try:
        stdin.write(msgspec.json.encode(request) + b"\n")
        stdin.flush()
    except BrokenPipeError:
        return None
    for line in _lines(stdout):
        if line.outcome is not None:
            if show is not None:
                show.end()
            return line.outcome
        if line.progress is not None and show is not None:
            show.tell(line.progress)
    return None


def _lines(stdout: IO[bytes]) -> Iterator[AloneLine]:
    for line in stdout:
        yield msgspec.json.decode(line, type=AloneLine)


def _interrupted(process: "subprocess.Popen[bytes]", show: "Telling | None") -> None:
    if show is not None:
        show.end()
    if process.stdin is not None:
        process.stdin.close()
        process.stdin = None  # or `communicate` would flush it
    try:
        process.communicate(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)  # a second one: it ends at once


def _end(process: "subprocess.Popen[bytes]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None and not pipe.closed:
            pipe.close()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Telling:
    """What the agent does, on stderr: its text as it comes, everything else a line each."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._in_text = False
        self._speaker: str = ""

    def tell(self, progress: AgentProgress) -> None:
        """Show one thing."""
        if progress.kind == "text":
            self._text(progress)
            return
        line = _line(progress)
        if line is not None:
            self.end()
            self._console.print(line)

    def end(self) -> None:
        """End the line of a text."""
        if self._in_text:
            self._console.print()
            self._in_text = False

    def _text(self, progress: AgentProgress) -> None:
        if progress.agent != self._speaker:
            self.end()
        self._speaker = progress.agent
        text = progress.text or (" … (the rest is not shown)" if progress.truncated else "")
        if text:
            self._console.print(Text(plain(text), style="dim"), end="", soft_wrap=True)
            self._in_text = not text.endswith("\n")


def _line(progress: AgentProgress) -> Text | None:
    who = Text(f"{plain(progress.agent)} ", style="bold")
    if progress.kind == "tool_call":
        return who + Text(f"→ {plain(progress.tool)} {_short(progress.arguments)}", style="cyan")
    if progress.kind == "tool_result":
        style = "red" if progress.is_error else "green"
        return who + Text(f"← {plain(progress.tool)} {_short(progress.result)}", style=style)
    if progress.kind == "retry":
        return who + Text(f"again: {plain(progress.text)}", style="yellow")
    return None


def _short(value: object) -> str:
    text = compact(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _show(outcome: AloneOutcome, request: RunAlone, out: Output) -> None:
    stderr = console(stderr=True)
    for problem in outcome.problems:
        for text in problem_lines(problem):
            stderr.print(text)
    if out.is_json:
        out.answer(outcome)
    else:
        stderr.print(Text(_figures(outcome), style="dim"))
        if outcome.error is None and not outcome.cancelled:
            out.answer(outcome.output)
    if outcome.cancelled:
        raise CommandError("the agent was stopped before its end", exit_code=INTERRUPTED)
    if outcome.error is not None:
        where = f"agent {request.agent} in environment {request.environment}"
        what = f"{outcome.error.type.value}: {outcome.error.message}"
        raise CommandError(what, where=where, todo=HINTS.get(outcome.error.type))


def _figures(outcome: AloneOutcome) -> str:
    """``gpt-4o: 2 requests, 120 tokens in, 30 out, 1 tool call, $0.0012, 3.2s``."""
    model = "no agent" if outcome.agent is None else plain(outcome.agent.model)
    used = [] if outcome.usage is None else _used(outcome.usage)
    return f"{model}: " + ", ".join([*used, duration(outcome.duration_ms)])


def _used(usage: Usage) -> list[str]:
    cost = "cost unknown" if usage.cost_usd is None else f"${usage.cost_usd:.4f}"
    asked = [_counted(usage.requests, "request"), f"{usage.input_tokens} tokens in, {usage.output_tokens} out", cost]
    tools = [_counted(usage.tool_calls, "tool call")] if usage.tool_calls else []
    return [*(asked if usage.requests else []), *tools]


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
