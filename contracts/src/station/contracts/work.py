"""Work handed to agent-runner and what comes back: tasks, claims, heartbeats, reports, cancellation."""

from typing import Any, Literal

from station.contracts.bounds import Bytes, Count, Seq, Wanted
from station.contracts.errors import StepError
from station.contracts.usage import AgentUse, Budget, Usage
from station.contracts.wire import Wire

MOST_BODY_BYTES = 64 * 1024
"""How much of a message is kept when nobody can use it."""


class StepTask(Wire):
    """One attempt of an ``agent.run`` step, on ``wf.task.step.<run>.<step>.<attempt>``."""

    run_id: str
    step_id: str
    attempt: Count
    workflow_id: str
    state_name: str
    environment: str
    """Where the agent lives: the run's, or what ``name@environment`` says."""
    agent: str
    task: str | None = None
    variables: dict[str, Any] = {}
    timeout_seconds: float | None = None
    """Per attempt, from the moment it is claimed."""
    idempotency_key: str
    """``run_id:step_id:attempt``."""
    digest: str | None = None
    """Version of the agent that the run is bound to; None lets the runner take the one it has now."""
    budget: Budget | None = None
    """What the attempt may use, as far as that was known when it was dispatched."""
    metered: bool = False
    """Whether every call of a model or a tool must be announced first: others spend from the same budget."""


class StepRef(Wire):
    run_id: str
    step_id: str
    attempt: Count


class ClaimSteps(Wire):
    """May this runner execute these attempts? One answer per step, in order."""

    runner: str
    """Stable id of the runner (kept in its spool directory)."""
    boot: Count
    """Counts the starts of that runner; a higher one voids the claims of the lower ones."""
    steps: tuple[StepRef, ...]


class Claim(Wire):
    """``run``: execute it, with this token. ``busy``: somebody else does, ask again later. ``skip``: it is over."""

    verdict: Literal["run", "busy", "skip"]
    token: int | None = None
    agent_run_id: str | None = None
    lease_seconds: float | None = None
    """Heartbeat well within it, or the step is handed out anew."""
    reason: str | None = None
    output: Any = None
    """With ``skip``: the stored output of a step that succeeded."""
    unknown: bool = False
    """With ``skip``: there is no such run, so that nobody can ever use the task."""


class Claims(Wire):
    claims: tuple[Claim, ...]


class HeldStep(Wire):
    run_id: str
    step_id: str
    attempt: Count
    token: Seq


class Heartbeat(Wire):
    """These attempts are still being worked on."""

    runner: str
    boot: Count
    steps: tuple[HeldStep, ...]
    usages: tuple[Usage | None, ...] = ()
    """What each has used so far, in order; empty where none has. It is all that is known when a runner dies."""


class HeartbeatAnswer(Wire):
    lost: tuple[HeldStep, ...] = ()
    """Attempts that are no longer this runner's (cancelled, timed out, handed out anew): stop them."""


class StepResult(Wire):
    """The outcome of one attempt; ``error`` is None on success."""

    run_id: str
    step_id: str
    attempt: Count
    token: Seq
    output: Any = None
    error: StepError | None = None
    cancelled: bool = False
    """The runner stopped it because it was told to."""
    duration_ms: int = 0
    usage: Usage | None = None
    """Whatever the outcome; None if nothing was counted."""
    agent: AgentUse | None = None
    """None if the work never got as far as an agent."""


class ReportResults(Wire):
    runner: str
    boot: Count
    results: tuple[StepResult, ...]
    wants: Wanted = 0
    """How many attempts that follow from these results the runner would take on at once."""


class Assignment(Wire):
    """An attempt that follows from a reported one, claimed for the runner that reported: it is to execute it now."""

    task: StepTask
    token: Seq
    agent_run_id: str
    lease_seconds: float
    traceparent: str | None = None


class ReportAnswer(Wire):
    """One verdict per result, in order. Either way the runner may forget the result."""

    verdicts: tuple[Literal["accepted", "fenced"], ...]
    assigned: tuple[Assignment, ...] = ()
    """At most as many as were wanted; those that the runner holds already are told to it once more."""


class ReleaseSteps(Wire):
    """The runner stops and gives these attempts back unfinished."""

    runner: str
    boot: Count
    steps: tuple[HeldStep, ...]


class SpendStep(Wire):
    """Before a metered attempt calls a model or a tool: what it has used so far."""

    runner: str
    boot: Count
    step: HeldStep
    usage: Usage
    tool: bool = False
    """Whether the call is one of a tool; else of a model."""


class SpendAnswer(Wire):
    """May it go on?"""

    exceeded: str | None = None
    """Which budget is used up, in words; then nothing more may be sent."""


class CancelSteps(Wire):
    """On ``wf.control.cancel.<run>``: stop these attempts of the run now; None means all of them."""

    run_id: str
    steps: tuple[HeldStep, ...] | None = None
    reason: str | None = None


class KeepLetter(Wire):
    """A message of the task stream that its taker cannot use, to be kept as a dead letter."""

    subject: str
    body: bytes
    """As it came, up to 64 KiB."""
    size: Bytes
    """Bytes that it really has."""
    reason: str


class Done(Wire):
    """An empty answer: it is committed."""
