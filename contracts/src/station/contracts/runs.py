"""Commands, queries and answers about runs."""

from typing import Any

from station.contracts.bounds import PageLimit, Revision, Seq
from station.contracts.errors import StepError
from station.contracts.events import PublishedEvent
from station.contracts.statuses import RunStatus, StepStatus
from station.contracts.usage import AgentUse, Usage
from station.contracts.wire import Wire


class StartRun(Wire):
    """Start a run. From other systems: JSON on ``wf.task.run.<runID>`` with ``workflowId`` and ``input``."""

    workflow_id: str
    version: Revision | None = None
    input: dict[str, Any] = {}
    environment: str | None = None
    """None: the workflow's own, else ``default``."""
    labels: dict[str, str] = {}
    run_id: str | None = None
    actor: str = "bus"
    idempotency_key: str | None = None
    """Same key and principal: the first answer again."""
    traceparent: str | None = None


class ControlRun(Wire):
    """Pause, resume or cancel, by the subject it is sent to."""

    run_id: str
    reason: str | None = None
    actor: str = "bus"
    idempotency_key: str | None = None


class SignalRun(Wire):
    """Deliver a signal. Other systems may also publish an `Instruction`."""

    run_id: str = ""
    name: str
    payload: Any = None
    id: str | None = None
    """A second signal of the same id is accepted and changes nothing."""
    actor: str = "bus"
    idempotency_key: str | None = None


class Instruction(Wire):
    """From other systems, on ``wf.task.resume.<runID>``: a signal (``name``) or a decision (``approvalId``)."""

    name: str | None = None
    """Name of the signal."""
    payload: Any = None
    """Of the signal: any JSON."""
    id: str | None = None
    """Of the signal: a second one of the same id changes nothing. Without it, the subject's last token is the id."""
    approval_id: str | None = None
    decision: str | None = None
    """``approve`` or ``reject``."""
    by: str | None = None
    """Who decides, without the ``user:`` prefix."""
    comment: str | None = None
    summary_digest: str | None = None
    """What the person was shown; refused when it is not what stands now."""


class SignalAccepted(Wire):
    run_id: str
    id: str
    name: str
    duplicate: bool = False


class GetRun(Wire):
    run_id: str


class ListRuns(Wire):
    workflow_id: str | None = None
    status: str | None = None
    labels: dict[str, str] = {}
    limit: PageLimit = 50
    cursor: str | None = None


class ListSteps(Wire):
    run_id: str
    limit: PageLimit = 200
    cursor: str | None = None


class ListEvents(Wire):
    run_id: str
    after: Seq = 0
    """Only events with a larger ``seq``."""
    limit: PageLimit = 200
    type: str | None = None


class RunSummary(Wire):
    id: str
    workflow_id: str
    version: int
    status: RunStatus
    current_states: tuple[str, ...]
    error: StepError | None
    environment: str
    labels: dict[str, str]
    started_by: str
    created_at: str
    started_at: str | None
    completed_at: str | None
    deadline_at: str | None
    waiting_for: str | None
    """In words, what the run waits for."""


class RunView(RunSummary):
    input: dict[str, Any]
    context: dict[str, Any]
    output: Any = None
    last_seq: int = 0
    """The seq of the last event that this view contains."""
    usage: Usage | None = None
    """Of all its attempts so far."""


class RunPage(Wire):
    items: tuple[RunSummary, ...]
    next_cursor: str | None
    total: int


class StepView(Wire):
    step_id: str
    state_name: str
    state_type: str
    branch_path: tuple[list[Any], ...]
    foreach_index: int | None
    visit: int
    attempt: int
    action: str | None
    status: StepStatus
    input: Any
    output: Any
    error: StepError | None
    agent_run_id: str | None
    started_at: str | None
    completed_at: str | None
    duration_ms: int | None
    next_attempt_at: str | None
    usage: Usage | None = None
    agent: AgentUse | None = None


class StepPage(Wire):
    items: tuple[StepView, ...]
    next_cursor: str | None
    total: int


class EventPage(Wire):
    items: tuple[PublishedEvent, ...]
    next_cursor: str | None
    total: int
