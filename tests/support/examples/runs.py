"""One example of every command, query and answer about runs."""

from typing import Any

import msgspec

from station.contracts.errors import Cause, ErrorType, StepError
from station.contracts.events import PublishedEvent
from station.contracts.runs import (
    ControlRun,
    EventPage,
    GetRun,
    Instruction,
    ListEvents,
    ListRuns,
    ListSteps,
    RunPage,
    RunSummary,
    RunView,
    SignalAccepted,
    SignalRun,
    StartRun,
    StepPage,
    StepView,
)
from station.contracts.statuses import RunStatus, StepStatus
from station.contracts.usage import AgentUse, Usage

ERROR = StepError(
    type=ErrorType.AGENT_ERROR,
    message="exit status 2",
    retryable=False,
    causes=(Cause(type=ErrorType.TOOL_ERROR, message="no such pod", where="2"),),
)
SUMMARY: dict[str, Any] = {
    "id": "run_01jz0",
    "workflow_id": "incident-triage",
    "version": 3,
    "status": RunStatus.FAILED,
    "current_states": ("checkPods", "readLogs"),
    "error": ERROR,
    "environment": "production",
    "labels": {"team": "payments"},
    "started_by": "user:alice",
    "created_at": "2026-01-02T03:00:00.000Z",
    "started_at": "2026-01-02T03:00:00.001Z",
    "completed_at": "2026-01-02T03:04:05.678Z",
    "deadline_at": "2026-01-02T04:00:00.000Z",
    "waiting_for": "a decision of team:sre",
}
STEP = StepView(
    step_id="checkPods-5f2a",
    state_name="checkPods",
    state_type="operation",
    branch_path=(["eachHost", 4], ["diagnostics", "errors", 2]),
    foreach_index=4,
    visit=2,
    attempt=3,
    action="agent.run",
    status=StepStatus.PENDING,
    input={"agent": "log-reader"},
    output={"errorRate": 0.07},
    error=ERROR,
    agent_run_id="agent_01jz1",
    started_at="2026-01-02T03:00:01.000Z",
    completed_at="2026-01-02T03:00:02.500Z",
    duration_ms=1500,
    next_attempt_at="2026-01-02T03:00:05.000Z",
)
EVENT = PublishedEvent(
    run_id="run_01jz0",
    seq=1,
    type="step_succeeded",
    at="2026-01-02T03:04:05.678Z",
    step_id="checkPods-5f2a",
    actor="runner:runner-a",
    data={"attempt": 2, "output": {"errorRate": 0.07}},
    hash="9c" * 32,
)

USAGE = Usage(requests=3, input_tokens=1200, output_tokens=340, tool_calls=2, cost_usd=0.0125)
AGENT = AgentUse(name="log-reader", environment="production", model="openai/gpt-4o", digest="b2" * 32)
LATER: dict[str, msgspec.Struct] = {
    "RunView.usage": RunView(**SUMMARY, input={}, context={}, usage=USAGE),
    "StepPage.usage": StepPage(
        items=(msgspec.structs.replace(STEP, usage=USAGE, agent=AGENT),), next_cursor=None, total=1
    ),
}

EXAMPLES: tuple[msgspec.Struct, ...] = (
    StartRun(
        workflow_id="incident-triage",
        version=3,
        input={"service": "checkout", "threshold": 0.05},
        environment="production",
        labels={"team": "payments"},
        run_id="run_01jz0",
        actor="user:alice",
        idempotency_key="key-1",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ),
    ControlRun(run_id="run_01jz0", reason="maintenance", actor="user:alice", idempotency_key="key-1"),
    SignalRun(
        run_id="run_01jz0",
        name="deployed",
        payload={"build": 12},
        id="sig_01jz3",
        actor="user:alice",
        idempotency_key="key-1",
    ),
    Instruction(
        name="deployed",
        payload={"build": 12},
        id="build-12",
        approval_id="appr_01jz2",
        decision="approve",
        by="bob",
        comment="go",
        summary_digest="a1" * 32,
    ),
    SignalAccepted(run_id="run_01jz0", id="sig_01jz3", name="deployed", duplicate=True),
    GetRun(run_id="run_01jz0"),
    ListRuns(
        workflow_id="incident-triage",
        status="FAILED",
        labels={"team": "payments"},
        limit=20,
        cursor="Y3Vyc29y",
    ),
    ListSteps(run_id="run_01jz0", limit=20, cursor="Y3Vyc29y"),
    ListEvents(run_id="run_01jz0", after=17, limit=20, type="step_failed"),
    RunView(**SUMMARY, input={"service": "checkout"}, context={"steps": {}}, output={"ok": False}, last_seq=17),
    RunPage(items=(RunSummary(**SUMMARY),), next_cursor="Y3Vyc29y", total=21),
    StepPage(items=(STEP,), next_cursor="Y3Vyc29y", total=21),
    EventPage(items=(EVENT,), next_cursor="Y3Vyc29y", total=21),
)
