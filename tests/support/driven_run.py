"""One run on the real core, with no bus and no store between: a test says what happens, and after every message the
run is checked against the fold of its events (see ``tests.support.run_invariants``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from station.contracts.errors import ErrorType, StepError
from station.contracts.events import TYPE_NAMES, Event, RunCreated
from station.contracts.statuses import StepStatus
from station.contracts.work import StepTask
from station.core import messages
from station.core.decide import decide, resume_evaluated
from station.core.decision import Decision, Evaluation, Refusal
from station.core.definition import Definition
from station.core.evolve import create
from station.core.loading import load
from station.core.program import Limits, Program, compile_program
from station.core.run import Approval, Run, Step
from station.scheduler.evaluator.child import Conditions
from tests.support.run_invariants import History

START_OF_TIME = 1_700_000_000_000
_conditions = Conditions()


def loaded(definition: dict[str, Any]) -> Definition:
    """The definition of a document that has no errors."""
    outcome = load(definition)
    assert outcome.definition is not None, outcome.errors
    return outcome.definition


def evaluate(asked: Evaluation) -> messages.Evaluated:
    """Answer as the evaluators do."""
    conditions = [expression.starlark for expression in asked.expressions]
    answer = _conditions.answer({"conditions": conditions, "names": asked.bindings})
    return messages.Evaluated(step_id=asked.step_id, matched=answer.get("matched", -1), problem=answer.get("problem"))


def decide_whole(program: Program, run: Run, message: messages.AnyMessage, now: int, limits: Limits) -> Decision:
    """Decide a message and answer what it asks the evaluators, as the engine does."""
    decision, turn = decide(program, run, message, now, limits)
    while decision.evaluations:
        asked, decision.evaluations = decision.evaluations, []
        for evaluation in asked:
            resume_evaluated(turn, evaluate(evaluation))
    return decision


def asked(step: Step) -> Approval:
    """The approval that a step waits for."""
    assert step.approval is not None, f"{step.state_name} asks nobody"
    return step.approval


class DrivenRun:
    """A run that has been created and, unless told otherwise, started."""

    def __init__(
        self,
        definition: dict[str, Any] | Definition,
        given: dict[str, Any] | None = None,
        *,
        limits: Limits | None = None,
        started: bool = True,
        deadline_at: int | None = None,
        checked: bool = True,
        agents: dict[str, str] | None = None,
    ) -> None:
        self.program = compile_program(definition if isinstance(definition, Definition) else loaded(definition))
        self.limits = limits or Limits()
        self.now = START_OF_TIME
        self.handed_out: dict[tuple[str, int], StepTask] = {}
        """Tasks that a runner may still find, by ``(step id, attempt)``."""
        self.decisions: list[Decision] = []
        data = RunCreated(
            workflow_id=self.program.definition.id,
            version=1,
            environment="default",
            input=given or {},
            started_by="user:alice",
            deadline_at=deadline_at,
            agents=agents or {},
        )
        created = Event(run_id="run_1", seq=1, at=self.now, actor="user:alice", data=data)
        self.run = create(created)
        self._history = History(created) if checked else None
        self.events: list[Event] = [created]
        if started:
            self.tell(messages.Start())

    # What happens

    def tell(self, message: messages.AnyMessage) -> Decision:
        """Have a message decided, and keep what the shell would keep."""
        decision = decide_whole(self.program, self.run, message, self.now, self.limits)
        self.decisions.append(decision)
        self.events += decision.events
        self.handed_out.update({(task.step_id, task.attempt): task for task in decision.tasks})
        if isinstance(message, messages.ClaimStep) and decision.verdict in ("run", "skip"):
            self.handed_out.pop((message.step_id, message.attempt), None)
        if self._history is not None:
            self._history.append(decision.events, self.run)
            self._history.check(self.run, self.handed_out)
        return decision

    def pause(self) -> Decision:
        return self.tell(messages.Pause(actor="user:olga"))

    def resume(self) -> Decision:
        return self.tell(messages.Resume(actor="user:olga"))

    def cancel(self) -> Decision:
        return self.tell(messages.Cancel(actor="user:olga", reason="enough"))

    def signal(self, name: str, payload: Any = None, identity: str | None = None) -> Decision:
        identity = identity or f"sig_{len(self.events)}"
        return self.tell(messages.SendSignal(actor="user:olga", signal_id=identity, name=name, payload=payload))

    def say(self, name: str, *, yes: bool, by: str = "user:bob", digest: str | None = None, **where: Any) -> Decision:
        """Decide the open approval of a state."""
        approval = asked(where.pop("pick", None) or self.step(name, **where))
        return self.tell(
            messages.DecideApproval(
                approval_id=approval.approval_id, by=by, approve=yes, comment="so be it", summary_digest=digest
            )
        )

    def approve(self, name: str, **more: Any) -> Decision:
        return self.say(name, yes=True, **more)

    def reject(self, name: str, **more: Any) -> Decision:
        return self.say(name, yes=False, **more)

    def claim(self, step: Step, runner: str = "runner_1#1") -> Decision:
        return self.tell(
            messages.ClaimStep(step_id=step.step_id, attempt=step.attempt, runner=runner, agent_run_id="agent_1")
        )

    def report(
        self,
        step: Step,
        token: int | None,
        output: Any = None,
        error: StepError | None = None,
        attempt: int = 0,
        **more: Any,
    ) -> Decision:
        return self.tell(
            messages.ReportStep(
                step_id=step.step_id,
                attempt=attempt or step.attempt,
                token=token or 0,
                runner="runner_1#1",
                output=output,
                error=error,
                **more,
            )
        )

    def work(self, name: str, output: Any = None, **where: Any) -> Decision:
        """Have the open agent step of a state claimed and reported as done."""
        step = self.step(name, **where)
        return self.report(step, self.claimed(step), output)

    def break_down(self, name: str, kind: str = "agent_error", **where: Any) -> Decision:
        """Have the open agent step of a state claimed and reported as failed."""
        step = self.step(name, **where)
        error = StepError(type=ErrorType(kind), message=f"{name} broke")
        return self.report(step, self.claimed(step), error=error)

    def claimed(self, step: Step) -> int:
        """Give the token of a step's attempt, claiming it if nobody has."""
        if step.status is StepStatus.PENDING:
            assert self.claim(step).verdict == "run"
        assert step.token is not None
        return step.token

    def let_pass(self, seconds: float) -> None:
        """Move the clock, and fire what comes due on the way in the order of its moments."""
        until = self.now + round(seconds * 1000)
        while True:
            due = [step for step in self.run.open.values() if step.wake_at is not None and step.wake_at <= until]
            due = [step for step in due if (step.step_id, step.attempt) not in self.handed_out]
            moments = [step.wake_at or 0 for step in due]
            if self.run.deadline_at is not None and self.run.ended is None and self.run.deadline_at <= until:
                moments.append(self.run.deadline_at)
            if not moments or self.run.paused:
                break
            self.now = max(self.now, min(moments))
            if self.run.deadline_at is not None and self.now >= self.run.deadline_at:
                self.tell(messages.ReachDeadline())
                continue
            step = min(due, key=lambda one: one.wake_at or 0)
            self.tell(messages.WakeStep(step_id=step.step_id, attempt=step.attempt))
        self.now = until

    # What can be seen

    @property
    def status(self) -> str:
        return self.run.status.value

    @property
    def context(self) -> dict[str, Any]:
        return self.run.context

    @property
    def error(self) -> StepError:
        """Why the run has failed."""
        assert self.run.error is not None, f"the run is {self.status}"
        return self.run.error

    @property
    def history(self) -> History:
        """What is stored of the run; only of one that is checked."""
        assert self._history is not None, "the run is not checked"
        return self._history

    @property
    def refused(self) -> Refusal:
        """The refusal of the last message."""
        refused = self.decisions[-1].refusal
        assert refused is not None, "the last message was taken"
        return refused

    @property
    def refusal(self) -> str | None:
        """The code of the last refusal, if the last message was refused."""
        refused = self.decisions[-1].refusal
        return refused.code if refused else None

    @property
    def facts(self) -> list[str]:
        """The types of all events so far."""
        return [TYPE_NAMES[type(event.data)] for event in self.events]

    def entered(self) -> list[str]:
        """The states in the order in which they were entered."""
        return [event.data.state_name for event in self.of("state_entered")]

    def of(self, kind: str) -> list[Any]:
        """The events of one type."""
        return [event for event in self.events if TYPE_NAMES[type(event.data)] == kind]

    def open(self, name: str | None = None) -> list[Step]:
        """The open steps, of one state or of all that are no container."""
        return [
            step
            for step in self.run.open.values()
            if (step.children is None if name is None else step.state_name == name)
        ]

    def step(self, name: str, **where: Any) -> Step:
        """The one open step of a state; ``key`` is the branch or index of its scope."""
        found = [step for step in self.open(name) if "key" not in where or step.scope.key == where["key"]]
        assert len(found) == 1, f"{len(found)} open steps of {name} {where}: {[s.state_name for s in self.open()]}"
        return found[0]

    def row(self, name: str, attempt: int | None = None, pick: Callable[[Any], bool] = lambda _: True) -> Any:
        """The stored attempt of a state: the last one that was entered."""
        rows = [row for row in self.history.steps.values() if row["state_name"] == name and pick(row)]
        rows = [row for row in rows if attempt is None or row["attempt"] == attempt]
        return max(rows, key=lambda row: (row["entered_seq"], row["attempt"]))
