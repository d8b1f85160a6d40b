"""A run's steps as a tree, folded from its events: what the live view shows. Pure."""

from typing import Any

import msgspec

from station.cli.output import usage_text
from station.contracts.events import PublishedEvent
from station.contracts.statuses import RunStatus, StepStatus
from station.contracts.usage import Usage

CONTAINERS = frozenset({"parallel", "foreach"})
OPEN = frozenset({StepStatus.PENDING, StepStatus.RUNNING, StepStatus.WAITING_APPROVAL})
RUN_STATUS = {
    "run_created": RunStatus.PENDING,
    "run_started": RunStatus.RUNNING,
    "run_paused": RunStatus.PAUSED,
    "run_resumed": RunStatus.RUNNING,
    "run_completed": RunStatus.COMPLETED,
    "run_failed": RunStatus.FAILED,
    "run_cancelled": RunStatus.CANCELLED,
    "run_timed_out": RunStatus.TIMED_OUT,
}
STEP_STATUS = {
    "state_entered": StepStatus.PENDING,
    "step_started": StepStatus.RUNNING,
    "step_retry_scheduled": StepStatus.PENDING,
    "step_redispatched": StepStatus.PENDING,
    "step_succeeded": StepStatus.SUCCEEDED,
    "step_failed": StepStatus.FAILED,
    "step_timed_out": StepStatus.TIMED_OUT,
    "step_cancelled": StepStatus.CANCELLED,
    "approval_requested": StepStatus.WAITING_APPROVAL,
}
APPROVAL_DECIDED = frozenset({"approval_approved", "approval_rejected", "approval_timed_out"})


class Step(msgspec.Struct, kw_only=True):
    """One state's visit, with how its newest attempt stands. Times are RFC 3339."""

    step_id: str
    name: str
    kind: str
    action: str | None
    branch_path: list[list[Any]]
    visit: int
    status: StepStatus = StepStatus.PENDING
    attempt: int = 1
    entered_at: str
    ended_at: str | None = None
    note: str = ""
    used: str = ""
    """By the newest attempt that ended."""
    waits_for_signal: bool = False
    children: list["Step"] = []

    @property
    def arm(self) -> str:
        """The branch or the item that this step is in; empty at the top."""
        return str(self.branch_path[-1][1]) if self.branch_path else ""


class Progress:
    """Feed it the events in order; read the tree whenever you like."""

    def __init__(self, run_id: str) -> None:
        """Nothing is known before the first event."""
        self.run_id = run_id
        self.workflow_id = ""
        self.created_at: str | None = None
        self.ended_at: str | None = None
        self.top: list[Step] = []
        self.steps: dict[str, Step] = {}
        self.open_approvals: dict[str, str] = {}
        """Approval id → message."""
        self.error = ""
        self._own_status = RunStatus.PENDING
        self._containers: dict[str, Step] = {}

    @property
    def status(self) -> RunStatus:
        """The run's status: what it waits for when every open step waits."""
        if self._own_status is not RunStatus.RUNNING:
            return self._own_status
        open_steps = [step for step in self.steps.values() if step.status in OPEN and step.kind not in CONTAINERS]
        waiting = [s for s in open_steps if s.status is StepStatus.WAITING_APPROVAL or s.waits_for_signal]
        if not open_steps or len(waiting) < len(open_steps):
            return RunStatus.RUNNING
        asks = any(step.status is StepStatus.WAITING_APPROVAL for step in waiting)
        return RunStatus.WAITING_APPROVAL if asks else RunStatus.WAITING_SIGNAL

    def apply(self, event: PublishedEvent) -> None:
        """Take the next event; one of an unknown type changes nothing."""
        if event.type in RUN_STATUS:
            self._run_event(event)
        elif event.type == "state_entered":
            self._enter(event)
        elif (step := self.steps.get(event.step_id or "")) is not None:
            self._step_event(step, event)

    def _run_event(self, event: PublishedEvent) -> None:
        self._own_status = RUN_STATUS[event.type]
        if event.type == "run_created":
            self.workflow_id = str(event.data.get("workflowId", ""))
            self.created_at = event.at
        elif event.type not in ("run_started", "run_paused", "run_resumed"):
            self.ended_at = event.at
            self.open_approvals.clear()
            self.error = error_text(event.data) or str(event.data.get("reason") or "")

    def _enter(self, event: PublishedEvent) -> None:
        data = event.data
        step = Step(
            step_id=event.step_id or "",
            name=str(data.get("stateName", "")),
            kind=str(data.get("stateType", "")),
            action=data.get("action"),
            branch_path=[list(element) for element in data.get("branchPath", ())],
            visit=int(data.get("visit", 1)),
            entered_at=event.at,
            children=[],
        )
        self.steps[step.step_id] = step
        parent = self._parent(step)
        (self.top if parent is None else parent.children).append(step)
        if step.kind in CONTAINERS:
            self._containers[_place(step.branch_path, step.name, step.visit)] = step

    def _parent(self, step: Step) -> Step | None:
        if not step.branch_path:
            return None
        *outer, (name, _, *visit) = step.branch_path
        return self._containers.get(_place(outer, name, visit[0] if visit else 1))

    def _step_event(self, step: Step, event: PublishedEvent) -> None:
        data = event.data
        if event.type in STEP_STATUS:
            step.status = STEP_STATUS[event.type]
            step.attempt = int(data.get("attempt", step.attempt if event.type == "approval_requested" else 1))
            step.waits_for_signal = event.type == "step_started" and bool(data.get("signal"))
            step.note = _note(event)
            step.used = used_text(data) or step.used
        elif event.type == "state_exited" and step.status in OPEN:
            step.status = StepStatus(data.get("status", StepStatus.SUCCEEDED))
            step.note = f"→ {data['next']}" if step.kind == "switch" and data.get("next") else step.note
        if step.status in OPEN:
            step.ended_at = None
        else:
            step.ended_at = step.ended_at or event.at
        approval_id = str(data.get("approvalId", ""))
        if event.type == "approval_requested":
            self.open_approvals[approval_id] = str(data.get("message", ""))
        elif event.type in APPROVAL_DECIDED and data.get("decisive", True):
            self.open_approvals.pop(approval_id, None)


def error_text(data: dict[str, Any]) -> str:
    """``type: message`` of an event that carries an error; else empty."""
    error = data.get("error")
    return f"{error.get('type')}: {error.get('message')}" if isinstance(error, dict) else ""  # pyright: ignore[reportUnknownMemberType]


def used_text(data: dict[str, Any]) -> str:
    """What an event says was used, in words; empty if it says nothing."""
    usage = data.get("usage")
    return usage_text(msgspec.convert(usage, Usage)) if isinstance(usage, dict) else ""


def _note(event: PublishedEvent) -> str:
    if event.type == "approval_requested":
        return str(event.data.get("message", ""))
    if event.type == "step_started" and event.data.get("signal"):
        return f"waits for the signal {event.data['signal']}"
    if event.type == "step_retry_scheduled":
        return "waits to be tried again"
    if event.type in ("step_redispatched", "step_cancelled"):
        return str(event.data.get("reason") or "")
    return error_text(event.data)


def _place(branch_path: list[list[Any]], name: str, visit: int) -> str:
    return msgspec.json.encode([branch_path, name, visit]).decode()
