"""The real core beside two small models, on the same random commands, until every command met every status.

After each command the core's answer (done, nothing, a verdict or the code of a refusal) and the run's status are those
of ``tests.support.command_model``; at the end of each seed the laws of ``tests.support.run_invariants`` hold, and a run
that ended is what ``tests.support.reference_model`` makes of its answers. A seed is one run of one drawn definition.

COMMAND_SEED=<seed> plays one seed alone, COMMAND_SEEDS=<n> plays n of them.
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random
from typing import Any

import pytest

from station.contracts.errors import ErrorType, StepError
from station.contracts.statuses import ApprovalStatus, RunStatus, StepStatus
from station.core import messages
from station.core.definition import to_canonical
from station.core.program import Limits
from tests.support.command_model import COMMANDS, CommandModel, current, plain, said
from tests.support.driven_run import START_OF_TIME, DrivenRun, decide_whole
from tests.support.random_definitions import GIVEN, SIGNALS, random_definition
from tests.support.random_messages import RandomMessages
from tests.support.reference_model import check_against_model

SEEDS = int(os.environ.get("COMMAND_SEEDS", "4000"))
GROUPS = 2
ALONE = os.environ.get("COMMAND_SEED")
LIMITS = Limits(max_states=40, max_output_bytes=200)
OF_STEPS = ("claim", "report", "hand out again", "wake")
RUN_PAIRS = {(command, status.value) for command in COMMANDS.values() for status in RunStatus}
STEP_PAIRS = {(command, status.value) for command in OF_STEPS for status in StepStatus}
APPROVAL_PAIRS = {("decide", status.value) for status in ApprovalStatus}
Seen = Counter[tuple[str, str, str]]
"""Command, status before it, answer."""


class Beside(DrivenRun):
    """Decides each message on the real core and asks the model first."""

    def __init__(self, random: Random, seen: dict[str, Seen]) -> None:
        self.model: CommandModel | None = None
        self.seen = seen
        deadline = START_OF_TIME + random.choice([50_000, 500_000])
        super().__init__(random_definition(random, 2), GIVEN, limits=LIMITS, started=False, deadline_at=deadline)
        self.model = CommandModel(deadline, started=False)

    def tell(self, message: messages.AnyMessage):
        model, history = self.model, self.history
        assert model is not None
        before, row = model.status, current(history.steps, getattr(message, "step_id", ""))
        asked = history.approvals.get(getattr(message, "approval_id", ""))
        expected = model.expect(message, self.now, history.steps, history.approvals)
        decision = decide_whole(self.program, self.run, message, self.now, self.limits)
        self.decisions.append(decision)
        self.events += decision.events
        history.append(decision.events, self.run)
        answer = said(decision, message)
        assert answer == expected.said, f"{before}: {plain(message)}: {answer}, and not {expected.said}"
        status = self.run.status.value
        assert expected.status in (None, status), f"{before}: {plain(message)}: {status}, and not {expected.status}"
        model.take(message, answer, status, history.steps)
        command = COMMANDS[type(message)]
        self.seen["run"][command, before, answer] += 1
        if row is not None:
            self.seen["step"][command, row["status"], answer] += 1
        if asked is not None:
            self.seen["approval"][command, asked["status"], answer] += 1
        return decision


class Commands(RandomMessages):
    """Draws commands that make sense, and as many that do not: any command, about any step there ever was."""

    def __init__(self, run: Beside, random: Random) -> None:
        super().__init__(run, random)
        self._beside = run

    def _draw(self) -> messages.AnyMessage:  # noqa: PLR0911 - one per command
        random = self._random
        if random.random() < 0.6:
            return super()._draw()
        rows: list[dict[str, Any]] = list(self._beside.history.steps.values())
        match random.choice(list(COMMANDS.values())):
            case "start":
                return messages.Start()
            case "pause":
                return messages.Pause(actor="user:olga")
            case "resume":
                return messages.Resume(actor="user:olga")
            case "cancel" if random.random() < 0.2:
                return messages.Cancel(actor="user:olga")
            case "deadline":
                if random.random() < 0.1:
                    self._run.now = max(self._run.now, self._run.run.deadline_at or 0)
                return messages.ReachDeadline()
            case "signal" | "cancel":
                return self._signal(random.choice(SIGNALS))
            case "decide":
                return self._vote()
            case command:
                return self._anywhere(command, random.choice(rows) if rows else None)

    def _vote(self) -> messages.DecideApproval:
        known = [*self._beside.history.approvals, "apr_unknown"]
        by, approve = self._random.choice(["user:bob", "user:carol"]), self._random.random() < 0.7
        return messages.DecideApproval(approval_id=self._random.choice(known), by=by, approve=approve)

    def _anywhere(self, command: str, row: dict[str, Any] | None) -> messages.AnyMessage:
        random = self._random
        step_id, attempt, token = ("nobody", 1, 1) if row is None else (row["step_id"], row["attempt"], row["token"])
        attempt += random.random() < 0.05
        token = (token or 0) - (random.random() < 0.2)
        match command:
            case "claim":
                self._count += 1
                runner = random.choice(["r1#1", "r2#1"])
                return messages.ClaimStep(
                    step_id=step_id, attempt=attempt, runner=runner, agent_run_id=f"any_{self._count}"
                )
            case "report":
                error = StepError(type=ErrorType.AGENT_ERROR, message="drawn") if random.random() < 0.2 else None
                return messages.ReportStep(
                    step_id=step_id, attempt=attempt, token=token, runner="r1#1", output=1, error=error
                )
            case "hand out again":
                return messages.HandOutAgain(step_id=step_id, attempt=attempt, token=token, reason="drawn")
            case _:
                return messages.WakeStep(step_id=step_id, attempt=attempt)


def play(seed: int, seen: dict[str, Seen]) -> None:
    """One run and its commands, compared one by one."""
    random = Random(seed)
    run = Beside(random, seen)
    commands = Commands(run, random)
    if random.random() < 0.8:
        run.tell(messages.Start())
    late = random.randrange(1, 12)
    for _ in range(60):
        commands.tell()
        late -= run.run.ended is not None
        if late == 0:
            break
    run.history.check(run.run, None)
    if run.run.ended is not None:
        check_against_model(to_canonical(run.program.definition), run.run, run.history.events())


def played(seeds: range) -> dict[str, Seen]:
    seen: dict[str, Seen] = {"run": Counter(), "step": Counter(), "approval": Counter()}
    for seed in seeds:
        try:
            play(seed, seen)
        except Exception as error:
            again = f"COMMAND_SEED={seed} .venv/bin/pytest tests/simulation/test_commands.py -k alone"
            raise AssertionError(f"seed {seed} fails; this plays it alone: {again}") from error
    return seen


@pytest.mark.skipif(ALONE is not None, reason="one seed is played alone")
@pytest.mark.parametrize("group", range(GROUPS))
def test_core_and_models_agree_until_every_command_met_every_status(group):
    seen = played(range(group, SEEDS, GROUPS))
    for subject, wanted in (("run", RUN_PAIRS), ("step", STEP_PAIRS), ("approval", APPROVAL_PAIRS)):
        missing = wanted - {(command, status) for command, status, _ in seen[subject]}
        assert not missing, f"no command of these met a {subject} in this status: {sorted(missing)}"


@pytest.mark.skipif(ALONE is None, reason="COMMAND_SEED says which")
def test_one_seed_alone():
    seed = int(ALONE or "0")
    played(range(seed, seed + 1))
