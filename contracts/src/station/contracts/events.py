"""Facts of a run, in the order they were committed. A run's state is the fold of its events and nothing else.

Each class is the ``data`` of the event type in ``EVENT_TYPES``; the envelope is ``Event``.
Times are integer milliseconds since 1970 UTC.
"""

from typing import Any

from msgspec import UNSET, UnsetType

from station.contracts.errors import StepError
from station.contracts.statuses import StepStatus
from station.contracts.usage import AgentUse, Usage
from station.contracts.wire import Record, Wire

PathElement = list[Any]
"""``[container state, branch name or item index]``, with the container's visit as a third member from the second on."""


class RunCreated(Record):
    workflow_id: str
    version: int
    """Revision of the definition the run is bound to."""
    environment: str
    input: dict[str, Any]
    labels: dict[str, str] = {}
    started_by: str
    deadline_at: int | None = None
    traceparent: str | None = None
    """W3C trace context of whoever started it; without one, trace ids derive from the run's id."""
    agents: dict[str, str] = {}
    """Digests of the agents that the definition names, as it names them: the run stays with these versions."""


class RunStarted(Record):
    pass


class RunPaused(Record):
    reason: str | None = None


class RunResumed(Record):
    reason: str | None = None


class RunCompleted(Record):
    output: Any = None
    """What the state that ended the run produced."""


class RunFailed(Record):
    error: StepError
    state_name: str | None = None


class RunCancelled(Record):
    reason: str | None = None


class RunTimedOut(Record):
    error: StepError


class ParallelPlan(Record):
    branches: tuple[str, ...]


class ForeachPlan(Record):
    items_path: str
    item_name: str
    item_count: int
    max_concurrency: int


class StateEntered(Record):
    """A state begins: the first attempt of its step. The event's ``step_id`` is the step's identity."""

    state_name: str
    state_type: str
    branch_path: tuple[PathElement, ...] = ()
    """Enclosing containers, outermost first; empty at the top."""
    foreach_index: int | None = None
    visit: int = 1
    action: str | None = None
    input: Any = None
    """The rendered input of an operation."""
    parallel: ParallelPlan | None = None
    foreach: ForeachPlan | None = None


class StateExited(Record):
    """A state is over and the way goes on, to ``next``, to the end of its scope, or up with its error."""

    status: StepStatus
    next: str | None = None
    """The following state of the same scope; None ends the scope."""
    result_path: str | None = None
    """Where the value was written; None writes nothing."""
    value: Any | UnsetType = UNSET
    """The value of an ``inject``; every other state's value is its step's output."""
    error: StepError | None = None
    """The final error of a state that failed; with ``next`` it goes to ``ctx.error`` of the scope."""
    matched: int | None = None
    """Index of the condition that decided a ``switch``; None is its default."""


class StepStarted(Record):
    """An attempt is under way. For an agent this event's ``seq`` is the fencing token of the attempt."""

    attempt: int = 1
    runner: str | None = None
    """``<runner id>#<boot>`` of the one that claimed it."""
    agent_run_id: str | None = None
    assigned: bool = False
    """Given with the answer to a report, not claimed."""
    wake_at: int | None = None
    """When the step times out, or a timer is due."""
    signal: str | None = None
    """The name that a ``signal.wait`` waits for."""


class StepSucceeded(Record):
    attempt: int = 1
    output: Any = None
    usage: Usage | None = None
    agent: AgentUse | None = None


class StepFailed(Record):
    attempt: int = 1
    error: StepError
    output: Any | UnsetType = UNSET
    """What a container had so far."""
    usage: Usage | None = None
    agent: AgentUse | None = None


class StepTimedOut(Record):
    attempt: int = 1
    error: StepError
    output: Any | UnsetType = UNSET
    usage: Usage | None = None
    agent: AgentUse | None = None


class StepCancelled(Record):
    attempt: int = 1
    reason: str | None = None
    output: Any | UnsetType = UNSET
    usage: Usage | None = None
    agent: AgentUse | None = None


class StepRetryScheduled(Record):
    attempt: int
    """The new attempt."""
    wake_at: int
    """Not before this moment."""


class StepRedispatched(Record):
    """An attempt lost its runner and is handed out again; its fencing token is void from here on."""

    attempt: int = 1
    reason: str
    usage: Usage | None = None
    """What the lost runner told of it."""


class ApprovalRequested(Record):
    approval_id: str
    message: str
    summary: Any = None
    summary_digest: str
    """sha256 hex over message and summary: what a person is shown."""
    approvers: tuple[str, ...] = ()
    """``user:…`` and ``team:…``; empty lets anybody decide."""
    quorum: int = 1
    allow_self_approval: bool = True
    deadline_at: int | None = None


class ApprovalApproved(Record):
    approval_id: str
    by: str
    comment: str | None = None
    decisive: bool = True
    """False while the quorum is not reached."""


class ApprovalRejected(Record):
    approval_id: str
    by: str
    comment: str | None = None


class ApprovalTimedOut(Record):
    approval_id: str


class SignalReceived(Record):
    signal_id: str
    name: str
    payload: Any = None


class SignalConsumed(Record):
    signal_id: str
    name: str


class LateResultIgnored(Record):
    """An audit note: a result came for an attempt that was no longer its sender's. It changed nothing."""

    attempt: int = 1
    token: int
    outcome: str
    reason: str
    usage: Usage | None = None
    """What was spent is spent: it counts for the run."""


RunEnded = RunCompleted | RunFailed | RunCancelled | RunTimedOut

EventData = (
    RunCreated
    | RunStarted
    | RunPaused
    | RunResumed
    | RunCompleted
    | RunFailed
    | RunCancelled
    | RunTimedOut
    | StateEntered
    | StateExited
    | StepStarted
    | StepSucceeded
    | StepFailed
    | StepTimedOut
    | StepCancelled
    | StepRetryScheduled
    | StepRedispatched
    | ApprovalRequested
    | ApprovalApproved
    | ApprovalRejected
    | ApprovalTimedOut
    | SignalReceived
    | SignalConsumed
    | LateResultIgnored
)

EVENT_TYPES: dict[str, type[EventData]] = {
    "run_created": RunCreated,
    "run_started": RunStarted,
    "run_paused": RunPaused,
    "run_resumed": RunResumed,
    "run_completed": RunCompleted,
    "run_failed": RunFailed,
    "run_cancelled": RunCancelled,
    "run_timed_out": RunTimedOut,
    "state_entered": StateEntered,
    "state_exited": StateExited,
    "step_started": StepStarted,
    "step_succeeded": StepSucceeded,
    "step_failed": StepFailed,
    "step_timed_out": StepTimedOut,
    "step_cancelled": StepCancelled,
    "step_retry_scheduled": StepRetryScheduled,
    "step_redispatched": StepRedispatched,
    "approval_requested": ApprovalRequested,
    "approval_approved": ApprovalApproved,
    "approval_rejected": ApprovalRejected,
    "approval_timed_out": ApprovalTimedOut,
    "signal_received": SignalReceived,
    "signal_consumed": SignalConsumed,
    "late_result_ignored": LateResultIgnored,
}
TYPE_NAMES: dict[type[EventData], str] = {data: name for name, data in EVENT_TYPES.items()}
TERMINAL_EVENTS = frozenset({"run_completed", "run_failed", "run_cancelled", "run_timed_out"})


class Event(Wire):
    """A committed fact as it is stored, hashed and published on ``wf.event.*`` (as JSON)."""

    run_id: str
    seq: int
    """1..n per run, without a hole. The identity of an event is ``(run_id, seq)``."""
    at: int
    step_id: str | None = None
    actor: str
    """``user:alice``, ``runner:…``, ``system:scheduler``, ``bus``."""
    data: EventData


class PublishedEvent(Wire):
    """An event as readers see it: on ``wf.event.*``, in ``GET …/events`` and on the SSE stream."""

    run_id: str
    seq: int
    type: str
    at: str
    """RFC 3339, UTC, milliseconds."""
    step_id: str | None = None
    actor: str
    data: dict[str, Any]
    hash: str
    """sha256 hex over the previous event's hash and this event's canonical JSON."""
