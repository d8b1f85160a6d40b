"""The table of every message on the bus: what it is called, who sends it, who takes it, what it carries.

The rule: a subject that is not here is not ours. The schemas, the AsyncAPI document and ``docs/contracts.md`` are
made from this table, and each of its messages has a golden.
"""

from enum import StrEnum

import msgspec

from station.contracts import subjects
from station.contracts.agents import (
    AgentList,
    AgentVersion,
    Announced,
    AnnounceRunner,
    GetVersion,
    KeepVersions,
    ListAgents,
)
from station.contracts.approvals import (
    ApprovalPage,
    ApprovalTask,
    ApprovalView,
    Decide,
    DecideApproval,
    GetApproval,
    ListApprovals,
)
from station.contracts.errors import Failure
from station.contracts.events import EVENT_TYPES, PublishedEvent
from station.contracts.health import DoctorReport, GetHealth, Health, RunDoctor, ServiceStarted
from station.contracts.progress import AgentProgress
from station.contracts.runs import (
    ControlRun,
    EventPage,
    GetRun,
    Instruction,
    ListEvents,
    ListRuns,
    ListSteps,
    RunPage,
    RunView,
    SignalAccepted,
    SignalRun,
    StartRun,
    StepPage,
)
from station.contracts.work import (
    CancelSteps,
    Claims,
    ClaimSteps,
    Done,
    Heartbeat,
    HeartbeatAnswer,
    KeepLetter,
    ReleaseSteps,
    ReportAnswer,
    ReportResults,
    SpendAnswer,
    SpendStep,
    StepTask,
)
from station.contracts.workflows import (
    CreateWorkflow,
    DeleteWorkflow,
    GetWorkflow,
    ListVersions,
    ListWorkflows,
    RollbackWorkflow,
    SetWorkflowStatus,
    UpdateWorkflow,
    ValidateWorkflow,
    ValidationResult,
    VersionPage,
    Workflow,
    WorkflowPage,
)

GATEWAY = "gateway"
SCHEDULER = "scheduler"
RUNNER = "agent-runner"
APPROVALS = "approval-service"
CLI = "cli"
EXTERNAL = "external"
"""Other systems, with an ordinary NATS client: they may always send JSON."""


class Kind(StrEnum):
    """How a message travels."""

    REQUEST = "request"
    """Request and reply; a refusal is a `Failure` with error headers."""
    TASK = "task"
    """Stored in ``WORKFLOW_TASKS`` until one taker has acknowledged it."""
    EVENT = "event"
    """Stored in ``WORKFLOW_EVENTS``; whoever listens reads it."""
    CONTROL = "control"
    """Published and not stored: who is not there misses it."""


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One subject of the bus."""

    subject: str
    """What varies stands in braces: ``wf.task.run.{runId}``."""
    kind: Kind
    summary: str
    senders: tuple[str, ...]
    takers: tuple[str, ...]
    body: type[msgspec.Struct]
    answer: type[msgspec.Struct] | None = None
    """Of a request; refused, it is a `Failure`."""
    event_types: tuple[str, ...] = ()
    """Of an event: what its ``type`` may say; the ``data`` of each is in ``EVENT_TYPES``."""


_STEERS = (GATEWAY, CLI, EXTERNAL)


def _request(
    subject: str,
    senders: tuple[str, ...],
    body: type[msgspec.Struct],
    answer: type[msgspec.Struct],
    summary: str,
    *,
    taker: str = SCHEDULER,
) -> Exchange:
    return Exchange(
        subject=subject,
        kind=Kind.REQUEST,
        summary=summary,
        senders=senders,
        takers=(taker,),
        body=body,
        answer=answer,
    )


REQUESTS: tuple[Exchange, ...] = (
    _request(subjects.RUN_START, _STEERS, StartRun, RunView, "Start a run; answered once it is stored."),
    _request(subjects.RUN_PAUSE, _STEERS, ControlRun, RunView, "Hold a run: nothing new is dispatched."),
    _request(subjects.RUN_RESUME, _STEERS, ControlRun, RunView, "Let a paused run go on."),
    _request(subjects.RUN_CANCEL, _STEERS, ControlRun, RunView, "End a run now."),
    _request(subjects.RUN_SIGNAL, _STEERS, SignalRun, SignalAccepted, "Deliver a signal to a run."),
    _request(subjects.WORKFLOW_CREATE, (GATEWAY,), CreateWorkflow, Workflow, "Store a workflow that is new."),
    _request(subjects.WORKFLOW_UPDATE, (GATEWAY,), UpdateWorkflow, Workflow, "Store a new revision of a workflow."),
    _request(subjects.WORKFLOW_DELETE, (GATEWAY,), DeleteWorkflow, Done, "Delete a workflow that has no runs."),
    _request(
        subjects.WORKFLOW_VALIDATE, (GATEWAY,), ValidateWorkflow, ValidationResult, "Check a definition; store nothing."
    ),
    _request(
        subjects.WORKFLOW_ROLLBACK, (GATEWAY,), RollbackWorkflow, Workflow, "Make an old revision's content the newest."
    ),
    _request(
        subjects.WORKFLOW_SET_STATUS, (GATEWAY,), SetWorkflowStatus, Workflow, "Refuse new runs, or take them again."
    ),
    _request(subjects.QUERY_RUN, _STEERS, GetRun, RunView, "Show a run."),
    _request(subjects.QUERY_RUNS, _STEERS, ListRuns, RunPage, "List runs, newest first."),
    _request(subjects.QUERY_STEPS, _STEERS, ListSteps, StepPage, "List the steps of a run, every attempt."),
    _request(subjects.QUERY_EVENTS, _STEERS, ListEvents, EventPage, "List the events of a run, in order."),
    _request(subjects.QUERY_WORKFLOW, _STEERS, GetWorkflow, Workflow, "Show a workflow or one of its revisions."),
    _request(subjects.QUERY_WORKFLOWS, _STEERS, ListWorkflows, WorkflowPage, "List workflows."),
    _request(subjects.QUERY_VERSIONS, _STEERS, ListVersions, VersionPage, "List a workflow's revisions, newest first."),
    _request(
        subjects.QUERY_APPROVALS, (APPROVALS, CLI, EXTERNAL), ListApprovals, ApprovalPage, "List approvals as stored."
    ),
    _request(
        subjects.QUERY_APPROVAL, (APPROVALS, CLI, EXTERNAL), GetApproval, ApprovalView, "Show an approval as stored."
    ),
    _request(subjects.QUERY_AGENTS, _STEERS, ListAgents, AgentList, "List the agents that runners have announced."),
    _request(
        subjects.QUERY_HEALTH, (GATEWAY, APPROVALS, CLI, EXTERNAL), GetHealth, Health, "Say how the scheduler is."
    ),
    _request(subjects.QUERY_DOCTOR, _STEERS, RunDoctor, DoctorReport, "Check the store against its invariants."),
    _request(subjects.STEP_CLAIM, (RUNNER,), ClaimSteps, Claims, "Ask for attempts before they are executed."),
    _request(subjects.STEP_HEARTBEAT, (RUNNER,), Heartbeat, HeartbeatAnswer, "Keep the leases of running attempts."),
    _request(subjects.STEP_REPORT, (RUNNER,), ReportResults, ReportAnswer, "Report the outcomes of attempts."),
    _request(subjects.STEP_RELEASE, (RUNNER,), ReleaseSteps, Done, "Give attempts back unfinished."),
    _request(subjects.STEP_SPEND, (RUNNER,), SpendStep, SpendAnswer, "Ask before a metered attempt makes a call."),
    _request(
        subjects.RUNNER_ANNOUNCE, (RUNNER,), AnnounceRunner, Announced, "Announce a runner and the agents it has."
    ),
    _request(subjects.RUNNER_KEEP, (RUNNER,), KeepVersions, Done, "Store versions of agents."),
    _request(subjects.RUNNER_VERSION, (RUNNER,), GetVersion, AgentVersion, "Give a stored version of an agent."),
    _request(
        subjects.LETTER_KEEP,
        (RUNNER, APPROVALS),
        KeepLetter,
        Done,
        "Keep a task that cannot be used, as a dead letter.",
    ),
    _request(
        subjects.APPROVAL_DECIDE, (APPROVALS,), DecideApproval, ApprovalView, "Decide an approval by compare-and-set."
    ),
    _request(
        subjects.INBOX_LIST, (GATEWAY, CLI), ListApprovals, ApprovalPage, "List what people are asked.", taker=APPROVALS
    ),
    _request(
        subjects.INBOX_DECIDE,
        (GATEWAY, CLI, SCHEDULER),
        Decide,
        ApprovalView,
        "Approve or reject, as a person; the scheduler passes on what other systems decide on the task stream.",
        taker=APPROVALS,
    ),
    _request(subjects.INBOX_HEALTH, (GATEWAY, CLI), GetHealth, Health, "Say how approval-service is.", taker=APPROVALS),
)

TASKS: tuple[Exchange, ...] = (
    Exchange(
        subject="wf.task.run.{runId}",
        kind=Kind.TASK,
        summary="Start the run of this id.",
        senders=(EXTERNAL,),
        takers=(SCHEDULER,),
        body=StartRun,
    ),
    Exchange(
        subject="wf.task.resume.{runId}",
        kind=Kind.TASK,
        summary="Signal the run of this id, or decide one of its approvals.",
        senders=(EXTERNAL,),
        takers=(SCHEDULER,),
        body=Instruction,
    ),
    Exchange(
        subject="wf.task.resume.{runId}.{signalId}",
        kind=Kind.TASK,
        summary="The same with an id in the subject: many signals of one run may be on their way at once.",
        senders=(EXTERNAL,),
        takers=(SCHEDULER,),
        body=Instruction,
    ),
    Exchange(
        subject="wf.task.step.{runId}.{stepId}.{attempt}",
        kind=Kind.TASK,
        summary="Execute one attempt of a step, once it is claimed.",
        senders=(SCHEDULER,),
        takers=(RUNNER,),
        body=StepTask,
    ),
    Exchange(
        subject="wf.task.approval.{runId}.{stepId}",
        kind=Kind.TASK,
        summary="Tell people that they are asked.",
        senders=(SCHEDULER,),
        takers=(APPROVALS,),
        body=ApprovalTask,
    ),
)

RUN_EVENTS: tuple[str, ...] = (
    *(name for name in EVENT_TYPES if name.startswith("run_")),
    "signal_received",
)
"""Types of the events that belong to the run itself; every other one belongs to a step."""

EVENTS: tuple[Exchange, ...] = (
    Exchange(
        subject="wf.event.run.{runId}",
        kind=Kind.EVENT,
        summary="Something happened to a run.",
        senders=(SCHEDULER,),
        takers=(GATEWAY, CLI, EXTERNAL),
        body=PublishedEvent,
        event_types=RUN_EVENTS,
    ),
    Exchange(
        subject="wf.event.step.{runId}.{stepId}",
        kind=Kind.EVENT,
        summary="Something happened to a step of a run.",
        senders=(SCHEDULER,),
        takers=(GATEWAY, CLI, EXTERNAL),
        body=PublishedEvent,
        event_types=tuple(name for name in EVENT_TYPES if name not in RUN_EVENTS),
    ),
)

CONTROLS: tuple[Exchange, ...] = (
    Exchange(
        subject="wf.control.cancel.{runId}",
        kind=Kind.CONTROL,
        summary="Stop attempts of this run now.",
        senders=(SCHEDULER,),
        takers=(RUNNER,),
        body=CancelSteps,
    ),
    Exchange(
        subject="wf.control.started.{service}",
        kind=Kind.CONTROL,
        summary="A service has started: requests under way to it will not be answered.",
        senders=(SCHEDULER, APPROVALS),
        takers=(SCHEDULER, RUNNER, APPROVALS, GATEWAY),
        body=ServiceStarted,
    ),
    Exchange(
        subject="wf.progress.run.{runId}",
        kind=Kind.CONTROL,
        summary="What an agent of this run is doing: told once, stored nowhere.",
        senders=(RUNNER,),
        takers=(GATEWAY, CLI, EXTERNAL),
        body=AgentProgress,
    ),
)

CATALOG: tuple[Exchange, ...] = (*REQUESTS, *TASKS, *EVENTS, *CONTROLS)

MESSAGES: tuple[type[msgspec.Struct], ...] = tuple(
    dict.fromkeys(
        [
            *(exchange.body for exchange in CATALOG),
            *(exchange.answer for exchange in CATALOG if exchange.answer is not None),
            Failure,
        ]
    )
)
"""Every type that is a whole message, each once."""
