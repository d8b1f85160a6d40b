"""One example of every message between scheduler and agent-runner."""

import msgspec

from station.contracts.errors import Cause, ErrorType, StepError
from station.contracts.usage import AgentUse, Budget, Usage
from station.contracts.work import (
    Assignment,
    CancelSteps,
    Claim,
    Claims,
    ClaimSteps,
    Done,
    Heartbeat,
    HeartbeatAnswer,
    HeldStep,
    KeepLetter,
    ReleaseSteps,
    ReportAnswer,
    ReportResults,
    SpendAnswer,
    SpendStep,
    StepRef,
    StepResult,
    StepTask,
)

HELD = HeldStep(run_id="run_01jz0", step_id="checkPods-5f2a", attempt=2, token=14)
ERROR = StepError(
    type=ErrorType.AGENT_ERROR,
    message="exit status 2",
    retryable=False,
    causes=(Cause(type=ErrorType.TOOL_ERROR, message="no such pod", where="0"),),
)

USAGE = Usage(requests=3, input_tokens=1200, output_tokens=340, tool_calls=2, cost_usd=0.0125)
AGENT = AgentUse(name="log-reader", environment="production", model="openai/gpt-4o", digest="b2" * 32)

EXAMPLES: tuple[msgspec.Struct, ...] = (
    StepTask(
        run_id="run_01jz0",
        step_id="checkPods-5f2a",
        attempt=2,
        workflow_id="incident-triage",
        state_name="checkPods",
        environment="production",
        agent="log-reader",
        task="read the logs",
        variables={"since": "1h"},
        timeout_seconds=30.5,
        idempotency_key="run_01jz0:checkPods-5f2a:2",
    ),
    ClaimSteps(runner="runner-a", boot=7, steps=(StepRef(run_id="run_01jz0", step_id="checkPods-5f2a", attempt=2),)),
    Claims(
        claims=(
            Claim(verdict="run", token=14, agent_run_id="agent_01jz1", lease_seconds=15.0),
            Claim(verdict="busy", reason="runner-b holds it"),
            Claim(verdict="skip", reason="it has succeeded", output={"errorRate": 0.07}),
        )
    ),
    Heartbeat(runner="runner-a", boot=7, steps=(HELD,)),
    HeartbeatAnswer(lost=(HELD,)),
    ReportResults(
        runner="runner-a",
        boot=7,
        results=(
            StepResult(
                run_id="run_01jz0",
                step_id="checkPods-5f2a",
                attempt=2,
                token=14,
                output={"errorRate": 0.07},
                duration_ms=1500,
            ),
            StepResult(run_id="run_01jz0", step_id="readLogs-0b1c", attempt=1, token=15, error=ERROR, cancelled=True),
        ),
    ),
    ReportAnswer(verdicts=("accepted", "fenced")),
    ReleaseSteps(runner="runner-a", boot=7, steps=(HELD,)),
    KeepLetter(subject="wf.task.step.run_01jz0.x.1", body=b"\xc1", size=70_000, reason="not readable"),
    CancelSteps(run_id="run_01jz0", steps=(HELD,), reason="the run was cancelled"),
    SpendStep(runner="runner-a", boot=7, step=HELD, usage=USAGE, tool=True),
    SpendAnswer(exceeded="the run has used 10,200 of 10,000 tokens"),
    Done(),
)

ASSIGNMENT = Assignment(
    task=StepTask(
        run_id="run_01jz0",
        step_id="notify-77aa",
        attempt=1,
        workflow_id="incident-triage",
        state_name="notify",
        environment="production",
        agent="notification-sender",
        task="Tell them",
        variables={"channel": "#incidents"},
        timeout_seconds=30.5,
        idempotency_key="run_01jz0:notify-77aa:1",
    ),
    token=21,
    agent_run_id="ar_01jz2",
    lease_seconds=15.0,
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)
LATER: dict[str, msgspec.Struct] = {
    "Claims.unknown": Claims(claims=(Claim(verdict="skip", reason="there is no such run", unknown=True),)),
    "StepTask.budget": StepTask(
        run_id="run_01jz0",
        step_id="checkPods-5f2a",
        attempt=2,
        workflow_id="incident-triage",
        state_name="checkPods",
        environment="production",
        agent="log-reader",
        idempotency_key="run_01jz0:checkPods-5f2a:2",
        digest="b2" * 32,
        budget=Budget(max_tokens=10000, max_cost_usd=0.5, max_tool_calls=20),
        metered=True,
    ),
    "Heartbeat.usages": Heartbeat(runner="runner-a", boot=7, steps=(HELD, HELD), usages=(USAGE, None)),
    "ReportResults.usage": ReportResults(
        runner="runner-a",
        boot=7,
        results=(
            StepResult(
                run_id="run_01jz0",
                step_id="checkPods-5f2a",
                attempt=2,
                token=14,
                output={"ok": True},
                usage=USAGE,
                agent=AGENT,
            ),
        ),
    ),
    "ReportResults.wants": ReportResults(
        runner="runner-a",
        boot=7,
        results=(StepResult(run_id="run_01jz0", step_id="checkPods-5f2a", attempt=2, token=14, output={"ok": True}),),
        wants=1,
    ),
    "ReportAnswer.assigned": ReportAnswer(verdicts=("accepted",), assigned=(ASSIGNMENT,)),
}
