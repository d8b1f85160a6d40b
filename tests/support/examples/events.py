"""One example of the data of every event type."""

from station.contracts.errors import Cause, ErrorType, StepError
from station.contracts.events import (
    ApprovalApproved,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalTimedOut,
    EventData,
    ForeachPlan,
    LateResultIgnored,
    ParallelPlan,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunPaused,
    RunResumed,
    RunStarted,
    RunTimedOut,
    SignalConsumed,
    SignalReceived,
    StateEntered,
    StateExited,
    StepCancelled,
    StepFailed,
    StepRedispatched,
    StepRetryScheduled,
    StepStarted,
    StepSucceeded,
    StepTimedOut,
)
from station.contracts.statuses import StepStatus
from station.contracts.usage import AgentUse, Usage

ERROR = StepError(
    type=ErrorType.RETRY_EXHAUSTED,
    message="3 attempts failed; the last one: exit status 2",
    retryable=False,
    causes=(Cause(type=ErrorType.AGENT_ERROR, message="exit status 2: no such pod", where="errors"),),
)
TIMEOUT = StepError(type=ErrorType.TIMEOUT, message="not done within 30 s")
DIGEST = "a1" * 32
USAGE = Usage(requests=3, input_tokens=1200, output_tokens=340, tool_calls=2, cost_usd=0.0125)
AGENT = AgentUse(name="log-reader", environment="production", model="openai/gpt-4o", digest="b2" * 32)

OF_THE_RUN = {
    "run_created",
    "run_started",
    "run_paused",
    "run_resumed",
    "run_completed",
    "run_failed",
    "run_cancelled",
    "run_timed_out",
    "signal_received",
}

EXAMPLES: dict[str, EventData] = {
    "run_created": RunCreated(
        workflow_id="incident-triage",
        version=3,
        environment="production",
        input={"service": "checkout", "threshold": 0.05, "größe": [1, None, True]},
        labels={"team": "payments"},
        started_by="user:alice",
        deadline_at=1767326645678,
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ),
    "run_created.agents": RunCreated(
        workflow_id="incident-triage",
        version=3,
        environment="production",
        input={},
        started_by="user:alice",
        agents={"log-reader": "b2" * 32},
    ),
    "run_started": RunStarted(),
    "run_paused": RunPaused(reason="maintenance"),
    "run_resumed": RunResumed(reason="done"),
    "run_completed": RunCompleted(output={"report": "all is well"}),
    "run_failed": RunFailed(error=ERROR, state_name="checkPods"),
    "run_cancelled": RunCancelled(reason="not needed any more"),
    "run_timed_out": RunTimedOut(error=TIMEOUT),
    "state_entered": StateEntered(
        state_name="diagnostics",
        state_type="parallel",
        branch_path=(["eachHost", 4], ["diagnostics", "errors", 2]),
        foreach_index=4,
        visit=2,
        action="agent.run",
        input={"agent": "log-reader", "task": "read the logs"},
        parallel=ParallelPlan(branches=("pods", "errors")),
        foreach=ForeachPlan(items_path="hosts", item_name="host", item_count=7, max_concurrency=3),
    ),
    "state_exited": StateExited(
        status=StepStatus.FAILED,
        next="askPerson",
        result_path="steps.checkPods",
        value={"count": 1},
        error=ERROR,
        matched=1,
    ),
    "step_started": StepStarted(
        attempt=2,
        runner="runner-a#7",
        agent_run_id="agent_01jz1",
        wake_at=1767323075678,
        signal="deployed",
    ),
    "step_started.assigned": StepStarted(attempt=1, runner="runner-a#7", agent_run_id="agent_01jz2", assigned=True),
    "step_succeeded": StepSucceeded(attempt=2, output={"errorRate": 0.07}),
    "step_failed": StepFailed(attempt=2, error=ERROR, output=[1, None]),
    "step_timed_out": StepTimedOut(attempt=2, error=TIMEOUT, output=[1, None]),
    "step_cancelled": StepCancelled(attempt=2, reason="the run was cancelled", output=[1, None]),
    "step_succeeded.usage": StepSucceeded(attempt=1, output={"ok": True}, usage=USAGE, agent=AGENT),
    "step_failed.usage": StepFailed(attempt=1, error=ERROR, usage=USAGE, agent=AGENT),
    "step_timed_out.usage": StepTimedOut(attempt=1, error=TIMEOUT, usage=USAGE, agent=AGENT),
    "step_cancelled.usage": StepCancelled(attempt=1, reason="the run was cancelled", usage=USAGE, agent=AGENT),
    "step_retry_scheduled": StepRetryScheduled(attempt=3, wake_at=1767323075678),
    "step_redispatched": StepRedispatched(attempt=2, reason="the lease ran out"),
    "step_redispatched.usage": StepRedispatched(attempt=2, reason="runner-a#7 was told to stop", usage=USAGE),
    "approval_requested": ApprovalRequested(
        approval_id="appr_01jz2",
        message="Restart checkout?",
        summary={"errorRate": 0.07},
        summary_digest=DIGEST,
        approvers=("team:sre", "user:bob"),
        quorum=2,
        allow_self_approval=False,
        deadline_at=1767326645678,
    ),
    "approval_approved": ApprovalApproved(approval_id="appr_01jz2", by="user:bob", comment="go", decisive=False),
    "approval_rejected": ApprovalRejected(approval_id="appr_01jz2", by="user:bob", comment="wait"),
    "approval_timed_out": ApprovalTimedOut(approval_id="appr_01jz2"),
    "signal_received": SignalReceived(signal_id="sig_01jz3", name="deployed", payload={"build": 12}),
    "signal_consumed": SignalConsumed(signal_id="sig_01jz3", name="deployed"),
    "late_result_ignored": LateResultIgnored(
        attempt=2, token=14, outcome="succeeded", reason="the attempt was handed out again"
    ),
    "late_result_ignored.usage": LateResultIgnored(
        attempt=2, token=14, outcome="cancelled", reason="the run is CANCELLED", usage=USAGE
    ),
}
