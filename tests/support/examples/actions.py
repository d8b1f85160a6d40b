"""One example of the inputs and outputs of every action."""

import msgspec

from station.contracts.actions import AgentRunInput, ApprovalOutput, HumanApprovalInput, SignalWaitInput, TimerWaitInput

EXAMPLES: tuple[msgspec.Struct, ...] = (
    AgentRunInput(
        agent="log-reader@production",
        task="read the logs of checkout",
        variables={"since": "1h"},
        timeout_seconds=30.5,
    ),
    HumanApprovalInput(
        message="Restart checkout?",
        summary_path="steps.diagnostics",
        approvers=("team:sre", "user:bob"),
        timeout_seconds=3600.0,
        on_reject="fail",
        on_timeout="escalate",
        quorum=2,
        allow_self_approval=False,
    ),
    SignalWaitInput(signal="deployed", timeout_seconds=600.0),
    TimerWaitInput(seconds=5.0, until="2026-01-02T03:04:05.678Z"),
    ApprovalOutput(approved=True, decided_by="user:bob", comment="go", decided_at="2026-01-02T03:04:05.678Z"),
)
