"""A second, small reading of what each command is answered in each status, from the rows and the answers so far.

It knows nothing of the core's memory: whether the run is paused, which signals and which votes came and which reports
were taken it keeps by itself, from what was answered. It says the answer, and the status that the run has then.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from station.core import messages

Rows = dict[Any, dict[str, Any]]
COMMANDS: dict[type[messages.Message], str] = {
    messages.Start: "start",
    messages.Pause: "pause",
    messages.Resume: "resume",
    messages.Cancel: "cancel",
    messages.SendSignal: "signal",
    messages.DecideApproval: "decide",
    messages.ClaimStep: "claim",
    messages.ReportStep: "report",
    messages.HandOutAgain: "hand out again",
    messages.WakeStep: "wake",
    messages.ReachDeadline: "deadline",
}
ENDS = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"})


class Answer(NamedTuple):
    """``said``: ``done``, ``nothing``, a verdict or the code of a refusal. ``status``: where the command decides it."""

    said: str
    status: str | None = None


class CommandModel:
    """Follows one run."""

    def __init__(self, deadline_at: int | None, *, started: bool) -> None:
        self.status = "PENDING"
        self._deadline_at = deadline_at
        self._paused = False
        self._started = started
        self._signals: set[str] = set()
        self._votes: set[tuple[str, str]] = set()
        self._reported: set[tuple[str, int, int]] = set()
        self._left: dict[str, int] = {}
        """The last attempt of each step that is over and has been left; a paused run leaves nothing."""

    def expect(self, message: messages.AnyMessage, now: int, steps: Rows, approvals: Rows) -> Answer:  # noqa: PLR0911 - one per command
        """Say how a message is answered, from the rows before it."""
        ended = self.status in ENDS
        match message:
            case messages.Start():
                return Answer("done") if self.status == "PENDING" else Answer("transition_not_allowed", self.status)
            case messages.Pause():
                allowed = not ended and not self._paused
                return Answer("done", "PAUSED") if allowed else Answer("transition_not_allowed", self.status)
            case messages.Resume():
                return Answer("done") if self._paused else Answer("transition_not_allowed", self.status)
            case messages.Cancel():
                return Answer("transition_not_allowed", self.status) if ended else Answer("done", "CANCELLED")
            case messages.SendSignal():
                if message.signal_id in self._signals:
                    return Answer("duplicate", self.status)
                return Answer("run_ended", self.status) if ended else Answer("accepted")
            case messages.DecideApproval():
                return self._vote(message, now, approvals)
            case messages.ReachDeadline():
                due = self._deadline_at is not None and self._deadline_at <= now
                return Answer("done", "TIMED_OUT") if due and self._moves else Answer("nothing", self.status)
            case messages.Evaluated():
                return Answer("nothing", self.status)
            case _:
                return self._about_a_step(message, now, steps)

    @property
    def _moves(self) -> bool:
        return self.status not in ENDS and not self._paused

    def _vote(self, message: messages.DecideApproval, now: int, approvals: Rows) -> Answer:
        row = approvals.get(message.approval_id)
        if self.status in ENDS:
            return Answer("run_ended", self.status)
        if row is None or row["status"] != "PENDING":
            return Answer("approval_closed", self.status)
        if row["deadline_at"] is not None and row["deadline_at"] <= now:
            return Answer("deadline_passed", self.status)
        if (message.approval_id, message.by) in self._votes:
            return Answer("already_decided_by_you", self.status)
        return Answer("done")

    def _about_a_step(self, message: Any, now: int, steps: Rows) -> Answer:
        row = current(steps, message.step_id)
        if row is None or row["attempt"] != message.attempt or self.status in ENDS:
            row = None
        match message:
            case messages.ClaimStep():
                return Answer(self._claim(message, now, row))
            case messages.ReportStep():
                held = row is not None and row["status"] == "RUNNING" and row["token"] == message.token
                again = self._known(message)
                return Answer("accepted" if held or again else "fenced", None if held else self.status)
            case messages.HandOutAgain():
                held = row is not None and row["status"] == "RUNNING" and row["token"] == message.token
                return Answer("done" if held else "nothing")
            case _:
                wakes_at = None if row is None or row["completed_at"] is not None else row["wake_at"]
                due = wakes_at is not None and wakes_at <= now
                return Answer("done") if due and self._moves else Answer("nothing", self.status)

    def _known(self, message: messages.ReportStep) -> bool:
        """Whether this very report was taken before; it is remembered until the run has left a later attempt."""
        reported = (message.step_id, message.attempt, message.token) in self._reported
        return reported and self._left.get(message.step_id, 0) <= message.attempt

    def _claim(self, message: messages.ClaimStep, now: int, row: dict[str, Any] | None) -> str:
        if row is None or row["action"] != "agent.run" or row["status"] not in ("PENDING", "RUNNING"):
            return "skip"
        if row["status"] == "RUNNING":
            return "run" if row["runner"] == message.runner else "busy"
        backs_off = row["wake_at"] is not None and row["wake_at"] > now
        return "skip" if self._paused or backs_off else "run"

    def take(self, message: messages.AnyMessage, said: str, status: str, steps: Rows) -> None:
        """Follow what was answered, and check that the run's status is the one that its rows say."""
        self._keep(message, said)
        if status in ENDS:
            assert all(row["completed_at"] is not None for row in steps.values()), "ended with open steps"
            self._paused = False
        else:
            assert status == self._derived(steps)
        self.status = status
        if not self._paused:
            for row in steps.values():
                if row["completed_at"] is not None:
                    self._left[row["step_id"]] = max(row["attempt"], self._left.get(row["step_id"], 0))

    def _keep(self, message: messages.AnyMessage, said: str) -> None:
        match message:
            case messages.Pause() if said == "done":
                self._paused = True
            case messages.Resume() if said == "done":
                self._paused, self._started = False, True
            case messages.Start() if said == "done":
                self._started = True
            case messages.SendSignal() if said == "accepted":
                self._signals.add(message.signal_id)
            case messages.DecideApproval() if said == "done":
                self._votes.add((message.approval_id, message.by))
            case messages.ReportStep() if said == "accepted":
                self._reported.add((message.step_id, message.attempt, message.token))
            case _:
                pass

    def _derived(self, steps: Rows) -> str:
        if self._paused:
            return "PAUSED"
        if not self._started:
            return "PENDING"
        rows = [row for row in steps.values() if row["completed_at"] is None]
        if any(_executes(row) for row in rows):
            return "RUNNING"
        if any(row["status"] == "WAITING_APPROVAL" for row in rows):
            return "WAITING_APPROVAL"
        return "WAITING_SIGNAL" if any(row["signal"] is not None for row in rows) else "RUNNING"


def current(steps: Rows, step_id: str) -> dict[str, Any] | None:
    """The row of a step's last attempt."""
    rows = [row for row in steps.values() if row["step_id"] == step_id]
    return max(rows, key=lambda row: row["attempt"], default=None)


def said(decision: Any, message: messages.AnyMessage) -> str:
    """How a decision answers, in the words of the model."""
    if decision.refusal is not None:
        assert not decision.events, "refused, and yet something has changed"
        return decision.refusal.code
    if decision.verdict is not None:
        return decision.verdict
    assert not isinstance(message, messages.ClaimStep | messages.ReportStep | messages.SendSignal), "no verdict"
    return "done" if decision.events or decision.tasks else "nothing"


def plain(message: messages.AnyMessage) -> str:
    """A message as a failure prints it."""
    return f"{type(message).__name__} {msgspec.structs.asdict(message)}"


def _executes(row: dict[str, Any]) -> bool:
    if row["action"] != "agent.run":
        return False
    return row["status"] == "RUNNING" or (row["status"] == "PENDING" and row["wake_at"] is None)
