"""Reports when the scheduler says no: one result that it will not take never holds up another."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from station.agent_runner import reporter as module
from station.agent_runner.reporter import Reporter
from station.agent_runner.scheduler import Scheduler
from station.agent_runner.spool import Identity
from station.contracts.errors import ErrorType
from station.contracts.work import ReportAnswer, ReportResults, StepResult
from station.runtime.rpc import refuse


class Answers:
    """The scheduler, deciding by the results it is sent."""

    def __init__(self, decide: Callable[[tuple[StepResult, ...]], None]) -> None:
        self.reports: list[ReportResults] = []
        self._decide = decide

    async def ask(self, subject: str, message: ReportResults, answer_type: type[Any]) -> ReportAnswer:
        self.reports.append(message)
        self._decide(message.results)
        return ReportAnswer(verdicts=("accepted",) * len(message.results))

    def reporter(self) -> Reporter:
        return Reporter(cast("Scheduler", self), Identity("runner_1", 3))


def result(number: int) -> StepResult:
    return StepResult(run_id="run_1", step_id=f"{number:032d}", attempt=1, token=number, output=number)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0)


async def test_the_one_that_is_refused_is_found_among_the_others() -> None:
    def decide(results: tuple[StepResult, ...]) -> None:
        if any(one.token == 5 for one in results):
            raise refuse(400, "report_invalid", "5 is wrong")

    scheduler = Answers(decide)
    reporter = scheduler.reporter()
    verdicts = await asyncio.gather(*(reporter.report(result(number)) for number in range(9)))
    assert verdicts == ["accepted"] * 5 + ["refused"] + ["accepted"] * 3
    assert [len(report.results) for report in scheduler.reports][:2] == [9, 4]
    assert (scheduler.reports[0].runner, scheduler.reports[0].boot) == ("runner_1", 3)


async def test_a_scheduler_that_fails_by_itself_is_asked_some_more() -> None:
    failures = [refuse(500, "internal", "try again")] * 4

    def decide(results: tuple[StepResult, ...]) -> None:
        if failures:
            raise failures.pop()

    assert await Answers(decide).reporter().report(result(1)) == "accepted"
    failures.extend([refuse(500, "internal", "never")] * 100)
    assert await Answers(decide).reporter().report(result(1)) == "refused"


async def test_an_output_that_the_broker_cannot_carry_becomes_an_error() -> None:
    def decide(results: tuple[StepResult, ...]) -> None:
        if any(one.output is not None for one in results):
            raise refuse(413, "payload_too_large", "The message has 9 bytes, the broker takes 8.")

    scheduler = Answers(decide)
    assert await scheduler.reporter().report(result(1)) == "accepted"
    sent = scheduler.reports[-1].results[0]
    assert sent.output is None
    assert sent.error is not None
    assert (sent.error.type, sent.error.retryable) == (ErrorType.PAYLOAD_TOO_LARGE, False)
