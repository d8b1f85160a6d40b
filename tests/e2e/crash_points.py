"""The crash table as the tests go through it: every fail point of the code, whose it is, and how it is come by."""

from typing import Literal, NamedTuple

By = Literal["run", "message", "new runner", "lost task"]
"""A run that is started over HTTP, or by a message on the stream; a runner that starts anew; a task that is lost."""


class Point(NamedTuple):
    """One row. ``hits``: those of a run at which it is tried. ``again``: outside effects that are done twice."""

    name: str
    victim: str
    by: By = "run"
    hits: tuple[int, ...] = (1,)
    again: int = 0


_THICK = (1, 9)
"""As the run begins, and in the thick of it."""

POINTS = (
    Point("gateway.before-request", "gateway"),
    Point("gateway.before-answer", "gateway"),
    Point("scheduler.before-commit", "scheduler", hits=_THICK),
    Point("scheduler.after-commit", "scheduler", hits=_THICK),
    Point("scheduler.before-answer", "scheduler", hits=_THICK),
    Point("scheduler.before-publish", "scheduler", hits=_THICK),
    Point("scheduler.after-publish", "scheduler"),
    Point("scheduler.before-outbox-delete", "scheduler"),
    Point("scheduler.after-outbox-delete", "scheduler"),
    Point("scheduler.before-consumer-reset", "scheduler", by="new runner"),
    Point("scheduler.after-consumer-reset", "scheduler", by="new runner"),
    Point("scheduler.before-purge", "scheduler", by="lost task"),
    Point("scheduler.after-purge", "scheduler", by="lost task"),
    Point("intake.before-ack", "scheduler", by="message"),
    Point("intake.after-ack", "scheduler", by="message"),
    Point("agent-runner.before-claim", "agent-runner"),
    Point("agent-runner.after-claim", "agent-runner"),
    Point("agent-runner.before-spool", "agent-runner", again=1),
    Point("agent-runner.after-spool", "agent-runner"),
    Point("agent-runner.after-assignment", "agent-runner"),
    Point("agent-runner.before-ack", "agent-runner"),
    Point("agent-runner.after-ack", "agent-runner"),
    Point("agent-runner.after-spool-delete", "agent-runner"),
    Point("approval-service.before-decide", "approval-service"),
    Point("approval-service.after-decide", "approval-service"),
    Point("approval-service.before-ack", "approval-service"),
    Point("approval-service.after-ack", "approval-service"),
)
