"""A scheduler and an approval-service for the gateway's tests: they answer on the real bus, from memory, and remember
what they were asked. Nothing is decided here; a test says what the answer is."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from station.contracts import agents, approvals, events, health, runs, subjects, work, workflows
from station.contracts.statuses import ApprovalStatus, RunStatus
from station.runtime.bus import Bus
from station.runtime.rpc import Endpoint, RpcContext, Served, refuse, serve

AT = "2026-01-31T08:00:00.000Z"

REQUESTS: dict[str, type[Any]] = {
    subjects.RUN_START: runs.StartRun,
    subjects.RUN_PAUSE: runs.ControlRun,
    subjects.RUN_RESUME: runs.ControlRun,
    subjects.RUN_CANCEL: runs.ControlRun,
    subjects.RUN_SIGNAL: runs.SignalRun,
    subjects.WORKFLOW_CREATE: workflows.CreateWorkflow,
    subjects.WORKFLOW_UPDATE: workflows.UpdateWorkflow,
    subjects.WORKFLOW_DELETE: workflows.DeleteWorkflow,
    subjects.WORKFLOW_VALIDATE: workflows.ValidateWorkflow,
    subjects.WORKFLOW_ROLLBACK: workflows.RollbackWorkflow,
    subjects.WORKFLOW_SET_STATUS: workflows.SetWorkflowStatus,
    subjects.QUERY_RUN: runs.GetRun,
    subjects.QUERY_RUNS: runs.ListRuns,
    subjects.QUERY_STEPS: runs.ListSteps,
    subjects.QUERY_EVENTS: runs.ListEvents,
    subjects.QUERY_WORKFLOW: workflows.GetWorkflow,
    subjects.QUERY_WORKFLOWS: workflows.ListWorkflows,
    subjects.QUERY_VERSIONS: workflows.ListVersions,
    subjects.QUERY_AGENTS: agents.ListAgents,
    subjects.QUERY_HEALTH: health.GetHealth,
    subjects.INBOX_LIST: approvals.ListApprovals,
    subjects.INBOX_DECIDE: approvals.Decide,
    subjects.INBOX_HEALTH: health.GetHealth,
}


class FakeScheduler:
    """Answers every subject that the gateway uses. ``answers`` overrules the plain answer of a subject."""

    def __init__(self, bus: Bus) -> None:
        self.asked: list[tuple[str, Any, RpcContext]] = []
        self.answers: dict[str, Callable[[Any], object]] = {}
        self.events: dict[str, list[events.PublishedEvent]] = {}
        self.statuses: dict[str, RunStatus] = {}
        self.arrived = asyncio.Condition()
        self._bus = bus
        self._served: Served | None = None

    async def start(self) -> None:
        endpoints = [Endpoint(subject, kind, self._handler(subject)) for subject, kind in REQUESTS.items()]
        self._served = await serve(
            self._bus, name="station-scheduler", version="0.1.0", description="A fake.", endpoints=endpoints
        )

    async def stop(self) -> None:
        assert self._served is not None
        await self._served.stop()

    def last(self, subject: str) -> Any:
        """The last request on this subject."""
        return next(request for found, request, _ in reversed(self.asked) if found == subject)

    async def wait_for(self, subject: str, times: int = 1) -> None:
        """Until the subject was asked so often."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: sum(found == subject for found, *_ in self.asked) >= times)

    def add_run(self, run_id: str, *types: str, status: RunStatus = RunStatus.RUNNING) -> None:
        """A run whose events have these types."""
        self.statuses[run_id] = status
        self.events[run_id] = []
        for kind in types:
            self.commit(run_id, kind)

    def commit(self, run_id: str, kind: str, *, step_id: str | None = None) -> events.PublishedEvent:
        """Append an event, as a commit does, without telling anybody."""
        log = self.events[run_id]
        seq = len(log) + 1
        event = events.PublishedEvent(
            run_id=run_id,
            seq=seq,
            type=kind,
            at=AT,
            step_id=step_id,
            actor="system:scheduler",
            data={},
            hash=f"{seq:064x}",
        )
        log.append(event)
        if kind in events.TERMINAL_EVENTS:
            self.statuses[run_id] = RunStatus(kind.removeprefix("run_").upper())
        return event

    async def publish(self, event: events.PublishedEvent) -> None:
        """Tell an event on the bus, as the relay does."""
        await self._bus.publish(subjects.event(event.run_id, event.step_id), msgspec.json.encode(event))

    def _handler(self, subject: str) -> Callable[[Any, RpcContext], Any]:
        async def handle(request: Any, context: RpcContext) -> object:
            self.asked.append((subject, request, context))
            async with self.arrived:
                self.arrived.notify_all()
            answer = self.answers.get(subject) or PLAIN.get(subject)
            found = answer(request) if answer else self._of_runs(subject, request)
            return await found if asyncio.iscoroutine(found) else found

        return handle

    def _of_runs(self, subject: str, request: Any) -> object:
        match subject:
            case subjects.QUERY_RUN | subjects.RUN_PAUSE | subjects.RUN_RESUME | subjects.RUN_CANCEL:
                return self.view(request.run_id)
            case subjects.QUERY_EVENTS:
                log = [event for event in self._log(request.run_id) if event.seq > request.after]
                # A page may be shorter than its limit although more follows: the scheduler bounds it by bytes, too.
                shown = log[: min(request.limit, 70)]
                cursor = str(shown[-1].seq) if len(shown) < len(log) else None
                return runs.EventPage(items=tuple(shown), next_cursor=cursor, total=len(log))
            case _:
                raise AssertionError(subject)

    def view(self, run_id: str) -> runs.RunView:
        return run_view(run_id, status=self.statuses.get(run_id), last_seq=len(self._log(run_id)))

    def _log(self, run_id: str) -> list[events.PublishedEvent]:
        if run_id not in self.events:
            raise refuse(404, "run_not_found", f"There is no run {run_id!r}.")
        return self.events[run_id]


def run_view(run_id: str, *, status: RunStatus | None = None, last_seq: int = 1) -> runs.RunView:
    return runs.RunView(
        id=run_id,
        workflow_id="triage",
        version=1,
        status=status or RunStatus.RUNNING,
        current_states=("checkPods",),
        error=None,
        environment="default",
        labels={},
        started_by="user:local",
        created_at=AT,
        started_at=AT,
        completed_at=None,
        deadline_at=None,
        waiting_for=None,
        input={},
        context={"steps": {}},
        last_seq=last_seq,
    )


def workflow(workflow_id: str = "triage", *, status: Any = "active") -> workflows.Workflow:
    return workflows.Workflow(
        id=workflow_id,
        name="Triage",
        description=None,
        version=1,
        version_label="1.10",
        status=status,
        source="api",
        sync_status="not_applicable",
        last_run_at=None,
        created_at=AT,
        updated_at=AT,
        definition={"id": workflow_id},
    )


def approval(
    approval_id: str, run_id: str, *, status: ApprovalStatus = ApprovalStatus.PENDING
) -> approvals.ApprovalView:
    return approvals.ApprovalView(
        id=approval_id,
        run_id=run_id,
        step_id="0" * 32,
        workflow_id="triage",
        state_name="ask",
        message="Restart the pods?",
        summary={"pods": 3},
        summary_digest="d" * 64,
        approvers=("alice",),
        quorum=1,
        allow_self_approval=False,
        started_by="user:local",
        status=status,
        decisions=(),
        requested_at=AT,
        deadline_at=None,
    )


AGENTS = tuple(
    agents.AgentSummary(
        name=name, environment=where, model="scripted", source_file=f"{where}/agents/{name}.prompt", digest="0"
    )
    for name, where in (("checker", "prod"), ("checker", "default"), ("fixer", "prod"))
)


def _agents(request: agents.ListAgents) -> agents.AgentList:
    return agents.AgentList(
        items=tuple(
            agent
            for agent in AGENTS
            if request.name in {None, agent.name} and request.environment in {None, agent.environment}
        )
    )


PLAIN: dict[str, Callable[[Any], object]] = {
    subjects.RUN_START: lambda request: run_view(request.run_id or "run_1"),
    subjects.RUN_SIGNAL: lambda request: runs.SignalAccepted(
        run_id=request.run_id, id=request.id or "s", name=request.name
    ),
    subjects.WORKFLOW_CREATE: lambda request: workflow(),
    subjects.WORKFLOW_UPDATE: lambda request: workflow(request.workflow_id),
    subjects.WORKFLOW_DELETE: lambda request: work.Done(),
    subjects.WORKFLOW_VALIDATE: lambda request: workflows.ValidationResult(valid=True),
    subjects.WORKFLOW_ROLLBACK: lambda request: workflow(request.workflow_id),
    subjects.WORKFLOW_SET_STATUS: lambda request: workflow(request.workflow_id, status=request.status),
    subjects.QUERY_RUNS: lambda request: runs.RunPage(items=(), next_cursor=None, total=0),
    subjects.QUERY_STEPS: lambda request: runs.StepPage(items=(), next_cursor=None, total=0),
    subjects.QUERY_WORKFLOW: lambda request: workflow(request.workflow_id),
    subjects.QUERY_WORKFLOWS: lambda request: workflows.WorkflowPage(items=(), next_cursor=None, total=0),
    subjects.QUERY_VERSIONS: lambda request: workflows.VersionPage(items=(), next_cursor=None, total=0),
    subjects.QUERY_AGENTS: _agents,
    subjects.QUERY_HEALTH: lambda request: health.Health(service="scheduler", ready=True),
    subjects.INBOX_LIST: lambda request: approvals.ApprovalPage(items=(), next_cursor=None, total=0),
    subjects.INBOX_DECIDE: lambda request: approval(
        request.approval_id, request.run_id, status=ApprovalStatus.APPROVED
    ),
    subjects.INBOX_HEALTH: lambda request: health.Health(service="approval-service", ready=True),
}
