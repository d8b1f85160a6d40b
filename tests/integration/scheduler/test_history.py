"""The history that the benchmark fills a database with is as sound as what the scheduler writes."""

from __future__ import annotations

from pathlib import Path

from station.contracts.approvals import DecideApproval
from station.scheduler.doctor import check
from tests.benchmarks.history import multiply
from tests.support.scheduler_house import CONTEXT, agent, approval, house, waiting

RUN = "run_original"


async def test_repeated_runs_are_sound(tmp_path: Path, still_url: str) -> None:
    async with house(tmp_path, still_url, background=False) as home:
        await home.announce()
        await home.create(agent("a", "ok"), approval("ok", "w"), waiting("w"))
        await home.start(run_id=RUN, labels={"l": "x"})
        await home.work(RUN, {"seen by": RUN})
        ((asked,),) = home.rows("SELECT approval_id FROM workflow_approvals")
        decision = DecideApproval(run_id=RUN, approval_id=asked, decision="approve", by="user:bob")
        await home.by.approvals.decide(decision, CONTEXT)
        await home.signal(RUN)
        assert home.status(RUN) == "COMPLETED"
        events = len(home.events(RUN))
    multiply(tmp_path / "station.db", [RUN], 7)
    report = check(tmp_path / "station.db")
    assert not report.findings
    assert (report.checked_runs, report.checked_events) == (8, 8 * events)
