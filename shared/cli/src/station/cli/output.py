"""What commands print: tables for people, JSON for programs. Colours only on a terminal.

The rule: text that came from somewhere else is never markup and never a terminal's control sequence.
"""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from station.cli.errors import CommandError, RefusedRequest
from station.contracts.problems import Problem
from station.contracts.usage import AgentUse, Usage

PIPE_WIDTH = 1000
"""Columns when nobody looks: a line is never broken for a program."""

STYLES = {
    "COMPLETED": "green",
    "SUCCEEDED": "green",
    "APPROVED": "green",
    "active": "green",
    "RUNNING": "cyan",
    "WAITING_APPROVAL": "yellow",
    "WAITING_SIGNAL": "yellow",
    "PAUSED": "yellow",
    "FAILED": "red",
    "TIMED_OUT": "red",
    "REJECTED": "red",
    "CANCELLED": "magenta",
    "disabled": "dim",
}


class Format(StrEnum):
    """How the answer is printed."""

    TABLE = "table"
    JSON = "json"


def console(*, stderr: bool = False) -> Console:
    """A console that colours only a terminal and never wraps for a program."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not stream.isatty(),
        width=None if stream.isatty() else PIPE_WIDTH,
    )


def plain(value: object) -> str:
    """Text of any origin, with control characters made visible; None is nothing."""
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() or char in "\n\t" else f"\\x{ord(char):02x}" for char in text)


def status_text(status: str) -> Text:
    """A status in its colour."""
    return Text(plain(status), style=STYLES.get(status, ""))


def local_time(rfc3339: str | None) -> str:
    """The moment in this machine's time zone, to the second."""
    if rfc3339 is None:
        return ""
    return datetime.fromisoformat(rfc3339).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration(milliseconds: float | None) -> str:
    """``850ms``, ``3.2s``, ``4m 10s``, ``2h 05m``."""
    if milliseconds is None:
        return ""
    seconds = milliseconds / 1000
    if seconds < 1:
        return f"{milliseconds:.0f}ms"
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m {rest:02d}s" if minutes < 60 else f"{minutes // 60}h {minutes % 60:02d}m"


def usage_text(usage: Usage | None) -> str:
    """``3 requests, 1,200 + 80 tokens, 2 tool calls, $0.0123``: tokens in and out; empty when nothing was used."""
    if usage is None:
        return ""
    parts = [_count(usage.requests, "request")] if usage.requests else []
    if usage.input_tokens or usage.output_tokens:
        parts.append(f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens")
    if usage.tool_calls:
        parts.append(_count(usage.tool_calls, "tool call"))
    if usage.cost_usd is not None:
        parts.append(f"${usage.cost_usd:.4f}")
    return ", ".join(parts)


def agent_text(agent: AgentUse | None) -> str:
    """``name digest``, of which twelve characters say enough."""
    return "" if agent is None else f"{agent.name} {agent.digest[:12]}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def compact(value: Any) -> str:
    """A value as one line of JSON."""
    return plain(msgspec.json.encode(value).decode())


def pretty(value: Any) -> str:
    """A value as indented JSON."""
    return plain(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


class Output:
    """Prints one command's answer in the format that was asked for."""

    def __init__(self, form: Format) -> None:
        """Writes to stdout as it is now; notes go to stderr."""
        self.form = form
        self.console = console()

    @property
    def is_json(self) -> bool:
        """Whether a program reads this."""
        return self.form is Format.JSON

    def answer(self, value: Any) -> None:
        """The whole answer as JSON."""
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
        """Rows under their columns, each one line unless a cell is Text; ``empty`` says that there are none."""
        table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(cell if isinstance(cell, Text) else Text(plain(cell).replace("\n", " ")) for cell in row))
        if table.row_count:
            self.console.print(table)
        else:
            self.console.print(Text(empty, style="dim"))

    def fields(self, pairs: Iterable[tuple[str, object]]) -> None:
        """One thing: its members under each other; those without a value are left out."""
        shown = [(name, value) for name, value in pairs if value not in (None, "")]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            text = value if isinstance(value, Text) else Text(plain(value))
            head, *rest = text.split("\n")
            self.console.print(Text.assemble((f"{name:<{width}}  ", "bold"), head))
            for line in rest:
                self.console.print(Text.assemble(" " * (width + 2), line))

    def line(self, text: str, style: str = "") -> None:
        """One line for a person."""
        self.console.print(Text(plain(text), style=style), soft_wrap=True)


def note(text: str, style: str = "dim") -> None:
    """Something a person should know that is not the answer: to stderr."""
    console(stderr=True).print(Text(plain(text), style=style))


def problem_lines(problem: Problem, line: int | None = None) -> list[Text]:
    """``code at path (line n): message`` and the hint under it."""
    where = f" at {problem.path}" if problem.path else ""
    number = f" (line {line})" if line else ""
    first = Text.assemble((plain(problem.code), "bold"), plain(f"{where}{number}: {problem.message}"))
    return [first, Text(f"  → {plain(problem.hint)}", style="cyan")] if problem.hint else [first]


def show_error(error: CommandError) -> None:
    """What, where, what to do: to stderr."""
    out = console(stderr=True)
    out.print(Text.assemble(("error: ", "bold red"), plain(error.what)))
    if isinstance(error, RefusedRequest):
        for problem in error.errors:
            for text in problem_lines(problem):
                out.print(Text("  ") + text)
    if error.where:
        out.print(Text(f"  where: {plain(error.where)}", style="dim"))
    if error.todo:
        out.print(Text(f"  → {plain(error.todo)}", style="cyan"))
