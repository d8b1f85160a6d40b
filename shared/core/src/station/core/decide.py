"""``decide(program, run, message, now)``: what a message does to a run. No I/O, no clock, no randomness.

The run that is handed in is moved on in place, fact by fact; whoever asks stores the facts in one transaction, or
drops the run and folds it again. While a decision has ``evaluations``, nothing is stored: their answers come back
through ``resume_evaluated`` first.
"""

from __future__ import annotations

from typing import Any, assert_never

from station.contracts.actions import AGENT_RUN, HUMAN_APPROVAL, SIGNAL_WAIT
from station.contracts.errors import ErrorType, StepError
from station.contracts.events import (
    RunCancelled,
    RunPaused,
    RunResumed,
    RunStarted,
    RunTimedOut,
)
from station.contracts.statuses import RunStatus, StepStatus
from station.core import messages
from station.core.decision import Decision
from station.core.lifecycle import ENDED_STEPS, PAUSABLE
from station.core.outcomes import advance
from station.core.program import Limits, Program
from station.core.run import Run, Step
from station.core.states import approval, signal, switch, timer
from station.core.states.entering import work_off
from station.core.tasks import step_task
from station.core.turn import Entry, Turn
from station.core.work import assign_next, claim, hand_out_again, report, time_out


def decide(program: Program, run: Run, message: messages.AnyMessage, now: int, limits: Limits) -> tuple[Decision, Turn]:
    """Decide one message. The turn is needed to go on after evaluations; otherwise it can be dropped."""
    turn = Turn(program, run, now, limits)
    _handle(turn, message)
    work_off(turn)
    assign_next(turn)
    return turn.decision, turn


def resume_evaluated(turn: Turn, answer: messages.Evaluated) -> None:
    """Take the answer to one of the turn's evaluations and go on; new evaluations may follow."""
    step = turn.run.open.get(answer.step_id)
    if step is not None and turn.run.ended is None:
        switch.decide(turn, step, answer.matched, answer.problem)
        work_off(turn)
        assign_next(turn)


def _handle(turn: Turn, message: messages.AnyMessage) -> None:  # noqa: C901, PLR0912 - one line per message
    match message:
        case messages.Start():
            _start(turn)
        case messages.Pause():
            _pause(turn, message)
        case messages.Resume():
            _resume(turn, message)
        case messages.Cancel():
            _cancel(turn, message)
        case messages.SendSignal():
            known = message.signal_id in turn.run.signal_ids  # sent again: no news, even after the end
            if known or not _ended(turn, "a signal", "run_ended"):
                turn.actor = message.actor
                signal.receive(turn, message.signal_id, message.name, message.payload)
        case messages.DecideApproval():
            if not _ended(turn, "a decision", "run_ended"):
                approval.decide(turn, message)
        case messages.ClaimStep():
            claim(turn, message)
        case messages.ReportStep():
            report(turn, message)
        case messages.HandOutAgain():
            hand_out_again(turn, message)
        case messages.WakeStep():
            _wake(turn, message)
        case messages.ReachDeadline():
            _reach_deadline(turn)
        case messages.Evaluated():
            resume_evaluated(turn, message)
        case _:
            assert_never(message)


def _ended(turn: Turn, what: str, code: str = "transition_not_allowed") -> bool:
    if turn.run.ended is None:
        return False
    turn.refuse(code, f"run {turn.run.run_id} is {turn.run.status}: {what} is not accepted", status=turn.run.status)
    return True


def _start(turn: Turn) -> None:
    if turn.run.status is not RunStatus.PENDING:
        _not_allowed(turn, "start")
        return
    _begin(turn)


def _begin(turn: Turn) -> None:
    turn.emit(RunStarted())
    turn.agenda.append(Entry(turn.run.root, turn.program.definition.start))


def _pause(turn: Turn, message: messages.Pause) -> None:
    if turn.run.status not in PAUSABLE:
        _not_allowed(turn, "pause")
        return
    turn.emit(RunPaused(reason=message.reason), actor=message.actor)


def _resume(turn: Turn, message: messages.Resume) -> None:
    run = turn.run
    if not run.paused or run.ended is not None:
        _not_allowed(turn, "resume")
        return
    turn.emit(RunResumed(reason=message.reason), actor=message.actor)
    if run.started_at is None:
        _begin(turn)
    for step in list(run.open.values()):
        if run.ended is None and run.open.get(step.step_id) is step:
            _go_on(turn, step)


def _go_on(turn: Turn, step: Step) -> None:
    """Catch up on what happened to a step while the run was paused."""
    if step.action == HUMAN_APPROVAL and step.status is StepStatus.CANCELLED:
        approval.advance_cancelled(turn, step)
    elif step.action == HUMAN_APPROVAL and step.status is StepStatus.TIMED_OUT:
        approval.advance_timed_out(turn, step)
    elif step.status in ENDED_STEPS:
        advance(turn, step)
    elif step.action == AGENT_RUN and step.status is StepStatus.PENDING and step.wake_at is None:
        turn.decision.tasks.append(step_task(turn, step))
    elif step.action == SIGNAL_WAIT and step.status is StepStatus.RUNNING:
        signal.take_waiting(turn, step)


def _cancel(turn: Turn, message: messages.Cancel) -> None:
    if turn.run.ended is not None:
        _not_allowed(turn, "cancel")
        return
    turn.actor = message.actor
    turn.close_open_steps(message.reason or "the run was cancelled")
    turn.emit(RunCancelled(reason=message.reason))


def _not_allowed(turn: Turn, command: str) -> None:
    status = turn.run.status
    turn.refuse(
        "transition_not_allowed",
        f"{command} is not allowed: run {turn.run.run_id} is {status}",
        status=status,
    )


def _wake(turn: Turn, message: messages.WakeStep) -> None:
    run = turn.run
    step = run.open.get(message.step_id)
    if step is None or step.attempt != message.attempt or step.wake_at is None:
        return
    if message.elapsed == step.wake_at:
        turn.now = max(turn.now, step.wake_at)
    if step.wake_at > turn.now or run.ended is not None or run.paused:
        return
    match step.action, step.status:
        case "agent.run", StepStatus.PENDING:
            turn.decision.tasks.append(step_task(turn, step))
        case "agent.run", StepStatus.RUNNING:
            time_out(turn, step)
        case "human.approval", _:
            approval.time_out(turn, step)
        case "signal.wait", _:
            signal.time_out(turn, step)
        case "timer.wait", _:
            timer.fire(turn, step)
        case _:
            pass


def _reach_deadline(turn: Turn) -> None:
    run = turn.run
    if run.ended is not None or run.paused or run.deadline_at is None or run.deadline_at > turn.now:
        return
    seconds: Any = turn.program.definition.timeout_seconds
    error = StepError(type=ErrorType.TIMEOUT, message=f"the run exceeded its timeout of {seconds} s", retryable=False)
    turn.close_open_steps("the run timed out")
    turn.emit(RunTimedOut(error=error))
