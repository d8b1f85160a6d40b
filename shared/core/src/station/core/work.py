"""Attempts and their runners: claims, fencing tokens, reports, and attempts that lost their runner."""

from __future__ import annotations

import msgspec

from station.contracts.actions import AGENT_RUN, AgentRunInput
from station.contracts.errors import ErrorType, StepError
from station.contracts.events import LateResultIgnored, StepRedispatched, StepStarted
from station.contracts.statuses import StepStatus
from station.contracts.work import StepTask
from station.core.decision import Assigned
from station.core.messages import ClaimStep, HandOutAgain, ReportStep
from station.core.outcomes import fail, succeed
from station.core.run import Step
from station.core.tasks import step_task
from station.core.turn import Turn

_ERROR_CHARACTERS = 8_000
_CAUSES = 50
_GRACE_MS = 10_000
"""How much longer than the runner the scheduler waits for a timeout: it is the backstop of a runner that hangs."""


def claim(turn: Turn, message: ClaimStep) -> None:
    """Give an attempt to a runner, with the fencing token that its report must carry."""
    run = turn.run
    step = run.open.get(message.step_id)
    current = step is not None and step.attempt == message.attempt and step.action == AGENT_RUN
    if step is None or not current or run.ended is not None or step.status not in _LIVE:
        turn.decision.verdict = "skip"
    elif step.status is StepStatus.RUNNING and step.runner == message.runner:
        # It was given to this very start of the runner, and the answer was lost on its way.
        _give(turn, step)
    elif step.status is StepStatus.RUNNING:
        turn.decision.verdict = "busy"
    elif run.paused or (not message.handed_out and step.wake_at is not None and step.wake_at > turn.now):
        # Not now: it is handed out again when the run is resumed, or when its back-off is over.
        turn.decision.verdict = "skip"
    else:
        _start(turn, step, step_task(turn, step), message.runner, message.agent_run_id)
        _give(turn, step)


def assign_next(turn: Turn) -> None:
    """Give attempts that follow from an accepted report to the runner that made it, as far as it wants them.

    It saves the way through the queue: the claim is in the transaction of the report.
    """
    report, decision = turn.report, turn.decision
    if report is None or decision.evaluations or turn.run.ended is not None:
        return
    ids, handed_out = list(report.next_ids), list[StepTask]()
    for task in decision.tasks:
        if ids and task.environment in report.environments:
            step = turn.run.open[task.step_id]
            _start(turn, step, task, report.runner, ids.pop(0), assigned=True)
            decision.assigned.append(_assigned(step, task))
        else:
            handed_out.append(task)
    decision.tasks = handed_out


def _assigned(step: Step, task: StepTask) -> Assigned:
    return Assigned(task=task, token=step.token or 0, agent_run_id=step.agent_run_id or "")


def _start(turn: Turn, step: Step, task: StepTask, runner: str, agent_run_id: str, *, assigned: bool = False) -> None:
    seconds = task.timeout_seconds
    turn.emit(
        StepStarted(
            attempt=step.attempt,
            runner=runner,
            agent_run_id=agent_run_id,
            assigned=assigned,
            wake_at=None if seconds is None else turn.now + round(seconds * 1000) + _GRACE_MS,
        ),
        step.step_id,
        f"runner:{runner}",
    )


def _give(turn: Turn, step: Step) -> None:
    turn.decision.verdict = "run"
    turn.decision.token, turn.decision.agent_run_id = step.token, step.agent_run_id


def report(turn: Turn, message: ReportStep) -> None:
    """Take the outcome of an attempt from the one that holds its token; anybody else's is noted and changes nothing."""
    run = turn.run
    step = run.open.get(message.step_id)
    if step is not None and run.ended is None and _holds(step, message) and step.status is StepStatus.RUNNING:
        turn.decision.verdict = "accepted"
        turn.report = message
        actor, error = f"runner:{message.runner}", message.error
        if error is None:
            succeed(turn, step, message.output, actor=actor, report=message)
        else:
            timed_out = error.type is ErrorType.TIMEOUT
            fail(turn, step, _bounded(error), timed_out=timed_out, actor=actor, report=message)
        return
    if _reported_before(turn, step, message):
        turn.decision.verdict = "accepted"
        _assign_again(turn, message)
        return
    turn.decision.verdict = "fenced"
    outcome = "succeeded" if message.error is None else f"{message.error.type}: {message.error.message}"[:500]
    _note_late(turn, step, message, outcome, message.runner)


def _note_late(turn: Turn, step: Step | None, message: ReportStep | HandOutAgain, outcome: str, runner: str) -> None:
    turn.emit(
        LateResultIgnored(
            attempt=message.attempt,
            token=message.token,
            outcome=outcome,
            reason=_why_late(turn, step),
            usage=message.usage,
        ),
        message.step_id,
        f"runner:{runner}",
    )


def _assign_again(turn: Turn, message: ReportStep) -> None:
    """The answer to an accepted report was lost, and with it what was assigned: say it once more."""
    if not message.next_ids:
        return
    for step in turn.run.open.values():
        given = step.assigned and step.status is StepStatus.RUNNING and step.runner == message.runner
        if given and (step.token or 0) > message.token:
            turn.decision.assigned.append(_assigned(step, step_task(turn, step)))


def hand_out_again(turn: Turn, message: HandOutAgain) -> None:
    """Void the token of an attempt whose runner is gone and hand the same attempt out anew, in one transaction."""
    run = turn.run
    step = run.open.get(message.step_id)
    held = step is not None and step.attempt == message.attempt and step.token == message.token
    if step is None or not held or step.status is not StepStatus.RUNNING or run.ended is not None:
        if message.usage is not None and message.runner is not None:
            _note_late(turn, step, message, "cancelled", message.runner)  # it was stopped, and what it cost is known
        return
    turn.emit(StepRedispatched(attempt=step.attempt, reason=message.reason, usage=message.usage), step.step_id)
    if not run.paused:
        turn.decision.tasks.append(step_task(turn, step))


def time_out(turn: Turn, step: Step) -> None:
    """The runner neither reported nor gave up in time."""
    turn.stop(step)
    limit = step_task(turn, step).timeout_seconds
    message = f"the agent {_agent(step)!r} did not finish within {limit} s"
    fail(turn, step, StepError(type=ErrorType.TIMEOUT, message=message), timed_out=True)


def _bounded(error: StepError) -> StepError:
    """Cut what a runner says of a failure: an error is for people to read, and it goes into the context."""
    if len(error.message) <= _ERROR_CHARACTERS and not error.causes:
        return error
    causes = tuple(
        msgspec.structs.replace(cause, message=cause.message[:_ERROR_CHARACTERS]) for cause in error.causes[:_CAUSES]
    )
    return msgspec.structs.replace(error, message=error.message[:_ERROR_CHARACTERS], causes=causes)


def _holds(step: Step, message: ReportStep) -> bool:
    return step.attempt == message.attempt and step.token == message.token


def _reported_before(turn: Turn, step: Step | None, message: ReportStep) -> bool:
    """Tell whether this is a report that was accepted already and whose answer was lost."""
    if step is not None and step.attempt == message.attempt:
        return step.token == message.token and step.reported
    closed = turn.run.closed.get(message.step_id)
    if closed is None:
        return False
    return closed.attempt == message.attempt and closed.token == message.token and closed.reported


def _why_late(turn: Turn, step: Step | None) -> str:
    if turn.run.ended is not None:
        return f"the run is {turn.run.status}"
    if step is None:
        return "the step is over"
    return f"attempt {step.attempt} is {step.status} and not held with this token"


def _agent(step: Step) -> str:
    return msgspec.convert(step.input, AgentRunInput).agent


_LIVE = frozenset({StepStatus.PENDING, StepStatus.RUNNING})
