"""What follows from the outcome of an attempt: a retry, the next state, ``onError``, or up to the container.

``succeed`` and ``fail`` record the outcome; ``advance`` moves on from a recorded one. In a paused run an outcome is
recorded and ``advance`` waits for the resume.
"""

from __future__ import annotations

from typing import Any

import msgspec

from station.contracts.actions import AGENT_RUN
from station.contracts.errors import Cause, ErrorType, StepError
from station.contracts.events import (
    RunCompleted,
    StateExited,
    StepFailed,
    StepRetryScheduled,
    StepSucceeded,
    StepTimedOut,
)
from station.contracts.statuses import StepStatus
from station.core import retries
from station.core.context import NotAnObjectError, check_writable
from station.core.definition import Foreach, Operation, Parallel, Retry, State, Switch
from station.core.messages import ReportStep
from station.core.paths import parse_path
from station.core.plain import NotJsonError, plain_json
from station.core.run import Run, Scope, Step
from station.core.schemas import violations
from station.core.tasks import step_task
from station.core.turn import Entry, Turn


def succeed(turn: Turn, step: Step, output: Any, *, actor: str | None = None, report: ReportStep | None = None) -> None:
    """Record the output of an attempt, unless it does not fit: then the attempt fails."""
    try:
        plain, size = plain_json(output)
    except NotJsonError as problem:
        message = f"the output of {step.state_name!r} is not JSON: {problem}"
        fail(turn, step, StepError(type=ErrorType.VALIDATION, message=message), actor=actor, report=report)
        return
    error = does_not_fit(turn, step, plain, size)
    if error is not None:
        fail(turn, step, error, actor=actor, report=report)
        return
    usage, agent = (None, None) if report is None else (report.usage, report.agent)
    turn.emit(StepSucceeded(attempt=step.attempt, output=plain, usage=usage, agent=agent), step.step_id, actor)
    advance(turn, step)


def fail(
    turn: Turn,
    step: Step,
    error: StepError,
    *,
    timed_out: bool = False,
    actor: str | None = None,
    report: ReportStep | None = None,
) -> None:
    """Record that an attempt failed."""
    kind = StepTimedOut if timed_out else StepFailed
    usage, agent = (None, None) if report is None else (report.usage, report.agent)
    turn.emit(kind(attempt=step.attempt, error=error, usage=usage, agent=agent), step.step_id, actor)
    advance(turn, step)


def advance(turn: Turn, step: Step) -> None:
    """Go on from an attempt whose outcome is recorded."""
    if turn.run.paused:
        return
    state = turn.state_of(step)
    if step.status is StepStatus.SUCCEEDED:
        leave(turn, step, StepStatus.SUCCEEDED, next_state=state.next, result_path=result_path(step, state))
        return
    error = step.error or StepError(type=ErrorType.INTERNAL, message="the step failed without saying why")
    policy = _retry_policy(step, state)
    if policy is not None and retries.may_retry(policy, step.attempt, error):
        _schedule_retry(turn, step, policy)
        return
    if policy is not None:
        error = retries.final_error(policy, step.attempt, error)
    on_error = None if isinstance(state, Switch) else getattr(state, "on_error", None)
    leave(turn, step, step.status, next_state=on_error, error=error)


def _retry_policy(step: Step, state: State) -> Retry | None:
    """Give the policy for an attempt that a runner had; one whose input could not be made would fail the same again."""
    tried = step.action == AGENT_RUN and step.started_at is not None
    return state.retry if tried and isinstance(state, Operation) else None


def leave(
    turn: Turn,
    step: Step,
    status: StepStatus,
    *,
    next_state: str | None,
    result_path: str | None = None,
    error: StepError | None = None,
    **extra: Any,
) -> None:
    """Exit the state: to the next one, or to the end of its scope."""
    scope = step.scope
    turn.emit(
        StateExited(status=status, next=next_state, result_path=result_path, error=error, **extra),
        step.step_id,
    )
    if next_state is not None:
        turn.agenda.append(Entry(scope, next_state))
    elif scope.container is None:
        _end_run(turn, scope, step, error)
    else:
        _child_ended(turn, scope.container)


def result_path(step: Step, state: Any) -> str | None:
    """Where a state's value goes: what the author wrote, else the default of its scope."""
    written: str | None = getattr(state, "result_path", None)
    if written is not None:
        return written
    if isinstance(state, Operation | Parallel | Foreach):
        return f'steps["{step.state_name}"]' if step.scope.container is None else "result"
    return None


def does_not_fit(turn: Turn, step: Step, output: Any, size: int) -> StepError | None:
    """Say why an output of so many bytes is too large or cannot be written where the state's result goes, or None."""
    limits = turn.limits
    if size > limits.max_output_bytes:
        return _too_large(f"the output of {step.state_name!r} has {size} bytes; the limit is {limits.max_output_bytes}")
    return unwritable(turn, step, output, size)


def unwritable(turn: Turn, step: Step, value: Any, size: int) -> StepError | None:
    """Say why a value cannot be written where the state's result goes, or None."""
    path = result_path(step, turn.state_of(step))
    if path is not None:
        try:
            check_writable(step.scope.writes, parse_path(path), value)
        except NotAnObjectError as problem:
            return StepError(type=ErrorType.VALIDATION, message=str(problem), retryable=False)
    run, limit = turn.run, turn.limits.max_context_bytes
    if run.context_bytes is None or run.context_bytes + size > limit:
        run.context_bytes = _measure(run)
    run.context_bytes += size
    if run.context_bytes > limit:
        return _too_large(f"the context would have {run.context_bytes} bytes; the limit is {limit}")
    return None


def _measure(run: Run) -> int:
    written: list[Any] = [scope.writes for scope in run.scopes.values()]
    written += [step.children.results for step in run.open.values() if step.children is not None]
    return sum(len(msgspec.json.encode(value)) for value in written)


def _too_large(message: str) -> StepError:
    return StepError(type=ErrorType.PAYLOAD_TOO_LARGE, message=message, retryable=False)


def _schedule_retry(turn: Turn, step: Step, policy: Retry) -> None:
    attempt = step.attempt + 1
    wake_at = turn.now + retries.backoff_ms(policy, step.step_id, step.attempt)
    turn.emit(StepRetryScheduled(attempt=attempt, wake_at=wake_at), step.step_id)
    if wake_at <= turn.now:
        turn.decision.tasks.append(step_task(turn, turn.run.open[step.step_id]))


def _child_ended(turn: Turn, container: Step) -> None:
    """A branch or an iteration of the container is over: begin the next one, or join."""
    children = container.children
    if children is None:
        return
    state = turn.state_of(container)
    more = children.begun < children.total
    if isinstance(state, Foreach) and more and not children.errors:
        turn.agenda.append(Entry(container.scope, state.iterator.start, children.begun))
    elif children.open == 0 and (not more or isinstance(state, Foreach)):
        join(turn, container)


def join(turn: Turn, container: Step) -> None:
    """Every branch or iteration that will ever begin is over."""
    children = container.children
    state = turn.state_of(container)
    if children is not None and children.errors:
        fail(turn, container, _joined_error(container))
        return
    error = unwritable(turn, container, [] if isinstance(state, Foreach) else {}, 0)
    if error is not None:
        fail(turn, container, error)
        return
    leave(turn, container, StepStatus.SUCCEEDED, next_state=state.next, result_path=result_path(container, state))


def _joined_error(container: Step) -> StepError:
    """Every failed child by name; with a single kind of error that kind, so that ``onError`` can tell."""
    errors = container.children.errors if container.children else {}
    kinds = {error.type for error in errors.values()}
    causes = tuple(
        Cause(type=error.type, message=error.message, where=str(key)) for key, error in list(errors.items())[:50]
    )
    word = "branch" if container.state_type == "parallel" else "item"
    listed = "; ".join(f"{word} {cause.where}: {cause.message}" for cause in causes[:5])
    more = f" (and {len(errors) - 5} more)" if len(errors) > 5 else ""
    return StepError(
        type=kinds.pop() if len(kinds) == 1 else ErrorType.AGENT_ERROR,
        message=f"{len(errors)} of {container.state_name!r} failed: {listed}{more}",
        retryable=False,
        causes=causes,
    )


def _end_run(turn: Turn, scope: Scope, step: Step, error: StepError | None) -> None:
    if error is not None:
        turn.fail_run(error, step.state_name)
        return
    validator = turn.program.output_validator
    if validator is not None:
        problems = violations(validator, scope.ending)
        if problems:
            listed = "; ".join(f"{problem.path or '/'}: {problem.message}" for problem in problems[:5])
            turn.fail_run(
                StepError(type=ErrorType.VALIDATION, message=f"the output does not match outputSchema: {listed}"),
                step.state_name,
            )
            return
    turn.emit(RunCompleted(output=scope.ending))
