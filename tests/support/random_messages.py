"""What may happen to a run next, drawn at random: mostly what makes sense, with stale and repeated messages."""

from __future__ import annotations

from random import Random
from typing import Any

from station.contracts.errors import ErrorType, StepError
from station.contracts.statuses import StepStatus
from station.core import messages
from station.core.run import Step
from tests.support.driven_run import DrivenRun
from tests.support.random_definitions import SIGNALS

_ERRORS = (ErrorType.AGENT_ERROR, ErrorType.TIMEOUT, ErrorType.VALIDATION, ErrorType.BUDGET_EXCEEDED)


class RandomMessages:
    """Draws messages for one run and remembers what a late one may repeat."""

    def __init__(self, run: DrivenRun, random: Random) -> None:
        self._run = run
        self._random = random
        self._sent: list[messages.AnyMessage] = []
        self._count = 0

    def tell(self) -> None:
        """Let something happen."""
        message = self._draw()
        self._sent.append(message)
        self._run.tell(message)

    def tell_many(self, count: int) -> None:
        """Let so much happen; little more once the run has ended."""
        late = 4
        for _ in range(count):
            late -= self._run.run.ended is not None
            if late > 0:
                self.tell()

    def _draw(self) -> messages.AnyMessage:
        roll = self._random.random()
        if self._sent and roll < 0.12:
            return self._random.choice(self._sent)
        if roll < 0.22:
            return self._command()
        steps = self._run.open()
        return self._about(self._random.choice(steps)) if steps else self._command()

    def _command(self) -> messages.AnyMessage:
        kinds = ["pause"] * 3 + ["resume"] * 5 + ["signal"] * 6 + ["deadline"] + ["cancel"]
        match self._random.choice(kinds):
            case "pause":
                return messages.Pause(actor="user:olga")
            case "resume":
                return messages.Resume(actor="user:olga")
            case "cancel":
                return messages.Cancel(actor="user:olga")
            case "deadline":
                self._run.now += self._random.choice([0, 50_000])
                return messages.ReachDeadline()
            case _:
                return self._signal(self._random.choice(SIGNALS))

    def _signal(self, name: str) -> messages.SendSignal:
        self._count += 1
        return messages.SendSignal(actor="user:olga", signal_id=f"sig_{self._count}", name=name, payload=self._value())

    def _about(self, step: Step) -> messages.AnyMessage:
        match step.action:
            case "agent.run":
                return self._about_agent(step)
            case "human.approval" if step.approval is not None and self._random.random() < 0.8:
                by, approve = self._random.choice(["user:bob", "user:carol"]), self._random.random() < 0.7
                identity = step.approval.approval_id
                return messages.DecideApproval(approval_id=identity, by=by, approve=approve)
            case "signal.wait" if self._random.random() < 0.7:
                return self._signal(step.signal or SIGNALS[0])
            case _:
                return self._wake(step)

    def _about_agent(self, step: Step) -> messages.AnyMessage:
        runner, roll = self._random.choice(["r1#1", "r2#1"]), self._random.random()
        if step.status is StepStatus.PENDING:
            if step.wake_at is not None and (roll < 0.7 or step.wake_at > self._run.now):
                return self._wake(step)
            self._count += 1
            agent_run_id = f"agent_{self._count}"
            return messages.ClaimStep(
                step_id=step.step_id, attempt=step.attempt, runner=runner, agent_run_id=agent_run_id
            )
        token = step.token or 0
        if roll < 0.1:
            return messages.HandOutAgain(step_id=step.step_id, attempt=step.attempt, token=token, reason="lost")
        if roll < 0.15:
            return self._wake(step)
        if roll < 0.25:
            return messages.ClaimStep(step_id=step.step_id, attempt=step.attempt, runner=runner, agent_run_id="again")
        if roll < 0.3:
            token -= 1
        error = self._error() if roll < 0.45 else None
        output = None if error else self._value()
        return messages.ReportStep(
            step_id=step.step_id, attempt=step.attempt, token=token, runner=runner, output=output, error=error
        )

    def _wake(self, step: Step) -> messages.WakeStep:
        if step.wake_at is not None and self._random.random() < 0.9:
            self._run.now = max(self._run.now, step.wake_at)
        return messages.WakeStep(step_id=step.step_id, attempt=step.attempt)

    def _error(self) -> StepError:
        return StepError(type=self._random.choice(_ERRORS), message="drawn", retryable=self._random.random() < 0.8)

    def _value(self) -> Any:
        return self._random.choice([None, 1, "text", [1], {"flag": False}, {"n": 5, "result": 2}, {"steps": {"x": 1}}])
