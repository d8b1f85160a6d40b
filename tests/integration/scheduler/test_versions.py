"""A run stays with the versions of the agents that it began with."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest

from station.contracts.agents import AgentVersion, AnnounceRunner, GetVersion, KeepVersions
from station.contracts.work import ReportResults, StepResult
from station.runtime.errors import Refused
from tests.support.scheduler_house import BOOT, CONTEXT, RUNNER, House, agent, house

VERSION = AgentVersion(
    digest="a", environment="default", name="a", source_file="default/agents/a.prompt", source="---\nmodel: exec\n---"
)


@pytest.fixture
async def home(tmp_path: Path, url: str) -> AsyncGenerator[House]:
    async with house(tmp_path, url, background=False) as opened:
        await opened.scheduler.reconcile.once()
        yield opened


async def announced(home: House, **digests: str) -> tuple[str, ...]:
    await home.announce(*digests)
    summaries = tuple(
        msgspec.structs.replace(one, digest=digests[one.name])
        for one in home.scheduler.catalog._agents["default"].values()
    )
    message = AnnounceRunner(runner=RUNNER, boot=BOOT, environments=("default",), agents=summaries)
    return (await home.by.steps.announce(message, CONTEXT)).missing


async def test_what_is_missing_is_asked_for_until_it_is_there(home):
    assert await announced(home, a="a", b="b") == ("a", "b")
    await home.by.versions.keep(KeepVersions(versions=(VERSION,)), CONTEXT)
    assert await announced(home, a="a", b="b") == ("b",)
    assert await home.by.versions.get(GetVersion(digest="a"), CONTEXT) == VERSION
    with pytest.raises(Refused) as refused:
        await home.by.versions.get(GetVersion(digest="b"), CONTEXT)
    assert refused.value.failure.status == 404


async def test_a_version_never_changes(home):
    other = msgspec.structs.replace(VERSION, source="something else")
    for version in (VERSION, other):
        await home.by.versions.keep(KeepVersions(versions=(version,)), CONTEXT)
    assert await home.by.versions.get(GetVersion(digest="a"), CONTEXT) == VERSION


async def test_an_edit_does_not_reach_a_run_that_has_begun(home):
    await announced(home, a="old")
    await home.create(agent("a", "again", input={"agent": "a"}), agent("again", input={"agent": "a"}))
    run = await home.start()
    await announced(home, a="new")
    (step,) = home.open_steps(run.id)
    (claim,) = await home.claim(step)
    result = StepResult(run_id=run.id, step_id=step.step_id, attempt=1, token=claim.token or 0)
    answer = await home.by.steps.report(ReportResults(runner=RUNNER, boot=BOOT, results=(result,), wants=1), CONTEXT)
    assert [given.task.digest for given in answer.assigned] == ["old"]
    later = await home.start()
    bound = home.rows("SELECT run_id, json_extract(data, '$.agents.a') FROM workflow_run_events WHERE seq = 1")
    assert dict(bound) == {run.id: "old", later.id: "new"}
