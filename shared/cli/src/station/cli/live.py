"""Shows a run while it goes on: a tree that updates itself on a terminal, one line per event elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from station.cli import output
from station.cli.client import Api
from station.cli.errors import Unreachable
from station.cli.output import duration, note, plain, status_text
from station.cli.progress import CONTAINERS, OPEN, Progress, Step, error_text, used_text
from station.cli.speech import Speech
from station.cli.stream import follow
from station.contracts.events import PublishedEvent
from station.contracts.progress import AgentProgress
from station.contracts.statuses import RunStatus, StepStatus

MARKS = {
    StepStatus.PENDING: ("○", "dim"),
    StepStatus.RUNNING: ("●", "cyan"),
    StepStatus.WAITING_APPROVAL: ("?", "bold yellow"),
    StepStatus.SUCCEEDED: ("✔", "green"),
    StepStatus.FAILED: ("✘", "red"),
    StepStatus.TIMED_OUT: ("✘", "red"),
    StepStatus.CANCELLED: ("–", "magenta"),
}
SHOWN_CHILDREN = 8
SHOWN_SPEECH = 6
RESERVED_LINES = 4
"""Of the terminal's height, for the header and the prompt."""
LONG_NOTE = 100

Until = Callable[[Progress], bool]
Lost = Callable[[Unreachable], None]


class Watcher:
    """Follows one run; may stop in between and go on where it was."""

    def __init__(
        self, api: Api, run_id: str, *, quiet: bool = False, lost: Lost | None = None, agents: bool = True
    ) -> None:
        """``quiet`` shows nothing. ``lost`` is told when the connection breaks, and may raise to give up.

        With ``agents``, what they say is shown, too.
        """
        self.progress = Progress(run_id)
        self.speech = Speech()
        self._quiet = quiet
        heard = self._heard if agents and not quiet else None
        self._events = follow(api, run_id, lost=lost or _say_that_it_is_lost, heard=heard)

    def until(self, reached: Until | None = None) -> Progress:
        """Show what happens up to the end of the run, or until ``reached`` holds after an event.

        Raises:
            RefusedRequest: there is no such run.
        """
        events = self._applied(reached)
        if self._quiet:
            for _ in events:
                pass
        elif sys.stdout.isatty():
            self._show_tree(events)
        else:
            for event in events:
                print(event_line(event, self.progress), flush=True)
        return self.progress

    def _heard(self, said: AgentProgress) -> None:
        lines = self.speech.hear(said)
        if not sys.stdout.isatty():
            for line in lines:
                print(speech_line(said, line, self.progress), flush=True)

    def _applied(self, reached: Until | None) -> Iterator[PublishedEvent]:
        for event in self._events:
            self.progress.apply(event)
            yield event
            if reached is not None and reached(self.progress):
                return

    def _show_tree(self, events: Iterator[PublishedEvent]) -> None:
        view = ProgressView(self.progress, self.speech)
        with Live(view, console=output.console(), refresh_per_second=5, vertical_overflow="crop") as live:
            for _ in events:
                pass
            live.refresh()


def waits_for_a_person(progress: Progress) -> bool:
    """Whether nothing goes on without a decision."""
    return bool(progress.open_approvals) and progress.status is RunStatus.WAITING_APPROVAL


def _say_that_it_is_lost(error: Unreachable) -> None:
    note(f"lost the connection: {error.what}; trying again", style="yellow")


class ProgressView:
    """The tree as rich renders it, with durations up to this moment."""

    def __init__(self, progress: Progress, speech: Speech) -> None:
        """Reads both anew at every rendering."""
        self.progress = progress
        self.speech = speech

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The header, then as many lines as fit, the newest when they do not."""
        lines = tree_lines(self.progress, time.time(), self.speech)
        room = max(console.height - RESERVED_LINES, 5)
        yield lines[0]
        if len(lines) - 1 > room:
            yield Text(f"  … {len(lines) - 1 - room} lines above", style="dim")
        yield from (self._fitted(line, options.max_width) for line in lines[1:][-room:])

    @staticmethod
    def _fitted(line: Text, width: int) -> Text:
        line.truncate(width, overflow="ellipsis")
        return line


def tree_lines(progress: Progress, now: float, speech: Speech | None = None) -> list[Text]:
    """The header, one line per step, and what is being said under those that run; ``now`` in seconds since 1970."""
    took = _elapsed(progress.created_at, progress.ended_at, now)
    header = Text.assemble((progress.run_id, "bold"), f"  {plain(progress.workflow_id)}  ")
    header.append_text(status_text(progress.status.value)).append(f"  {took}", style="dim")
    if progress.error:
        header.append(f"  {plain(progress.error)}", style="red")
    lines = [header]
    for step in list(progress.top):
        _add_step(lines, step, 1, now, speech)
    return lines


def _add_step(lines: list[Text], step: Step, depth: int, now: float, speech: Speech | None) -> None:
    mark, style = MARKS[step.status]
    line = Text.assemble("  " * depth, (mark, style), " ")
    if step.arm:
        line.append(f"{plain(step.arm)} · ", style="dim")
    line.append(plain(step.name))
    line.append(f"  {step.action or step.kind}", style="dim")
    if step.visit > 1:
        line.append(f"  visit {step.visit}", style="dim")
    if step.attempt > 1:
        line.append(f"  attempt {step.attempt}", style="yellow")
    line.append(f"  {_elapsed(step.entered_at, step.ended_at, now)}", style="dim")
    children = list(step.children)
    if step.kind in CONTAINERS and children:
        done = sum(child.status not in OPEN for child in children)
        line.append(f"  {done} of {len(children)} done", style="dim")
    if step.note:
        line.append(f"  {plain(_short(step.note))}", style=style)
    if step.used:
        line.append(f"  {step.used}", style="dim")
    lines.append(line)
    if speech is not None and step.status in OPEN:
        said = speech.last(step.step_id, SHOWN_SPEECH)
        lines.extend(Text("  " * (depth + 1) + "│ " + one, style="dim") for one in said)
    for child in _worth_showing(children):
        _add_step(lines, child, depth + 1, now, speech)


def _worth_showing(children: list[Step]) -> list[Step]:
    """All of a few; of many, those that are open or went wrong, and at most a screenful."""
    if len(children) <= SHOWN_CHILDREN:
        return children
    telling = [child for child in children if child.status is not StepStatus.SUCCEEDED]
    return telling[-SHOWN_CHILDREN:] if telling else children[-1:]


def event_line(event: PublishedEvent, progress: Progress) -> str:
    """One event for a log: time, type, state, and what it says. Call it after the event was applied."""
    step = progress.steps.get(event.step_id or "")
    parts = [event.at[11:23], f"{event.type:<20}"]
    if step is not None:
        parts.append(plain(f"{step.arm}·{step.name}" if step.arm else step.name))
        if step.attempt > 1:
            parts.append(f"attempt={step.attempt}")
        if step.ended_at == event.at and event.type.startswith("step_"):
            parts.append(_elapsed(step.entered_at, step.ended_at, 0))
    detail = error_text(event.data) or event.data.get("message") or event.data.get("reason") or event.data.get("by")
    if detail:
        parts.append(plain(_short(str(detail))))
    if used := used_text(event.data):
        parts.append(used)
    return "  ".join(parts)


def speech_line(said: AgentProgress, line: str, progress: Progress) -> str:
    """One line that an agent said, for a log, under the events of its step."""
    step = progress.steps.get(said.step_id)
    name = said.agent if step is None else f"{step.arm}·{step.name}" if step.arm else step.name
    return f"{said.at[11:23]}      {plain(name)} │ {line}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONG_NOTE else line[: LONG_NOTE - 1] + "…"


def _elapsed(start: str | None, end: str | None, now: float) -> str:
    if start is None:
        return ""
    until = datetime.fromisoformat(end).timestamp() if end else now
    return duration(max(until - datetime.fromisoformat(start).timestamp(), 0) * 1000)
