"""Workflows by request and by file: revisions, races, and who has the last word."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from station.contracts.agents import AgentSummary, AnnounceRunner
from station.contracts.workflows import (
    DeleteWorkflow,
    GetWorkflow,
    ListVersions,
    RollbackWorkflow,
    SetWorkflowStatus,
    UpdateWorkflow,
    ValidateWorkflow,
    Workflow,
)
from station.runtime.errors import Refused
from tests.support.scheduler_house import CONTEXT, House, action, agent, approval, definition, house, timer, waiting

_WRITES = itertools.count(1)
FILE = "default/workflows/w.workflow.json"


@pytest.fixture
def environments(tmp_path: Path) -> Path:
    root = tmp_path / "environments"
    (root / "default" / "workflows").mkdir(parents=True)
    return root


@pytest.fixture
async def home(tmp_path: Path, still_url: str, environments: Path) -> AsyncGenerator[House]:
    async with house(tmp_path, still_url, background=False, environments=environments) as opened:
        await opened.announce()
        yield opened


def refusal(code: str, status: int) -> Any:
    return pytest.raises(Refused, check=lambda error: (error.failure.code, error.failure.status) == (code, status))


async def update(home: House, *states: dict[str, Any], identity: str = "w", **fields: Any) -> Workflow:
    source = definition(*states, identity=identity, **fields)
    request = UpdateWorkflow(workflow_id=identity, source=source, content_type="application/json", actor="user:o")
    return await home.by.workflows.update(request, CONTEXT)


async def delete(home: House, identity: str = "w") -> None:
    await home.by.workflows.delete(DeleteWorkflow(workflow_id=identity, actor="user:o"), CONTEXT)


async def rollback(home: House, version: int) -> Workflow:
    request = RollbackWorkflow(workflow_id="w", version=version, actor="user:o")
    return await home.by.workflows.rollback(request, CONTEXT)


async def shown(home: House, identity: str = "w", version: int | None = None) -> Workflow:
    return await home.by.workflows.get(GetWorkflow(workflow_id=identity, version=version), CONTEXT)


def write(environments: Path, *states: dict[str, Any], name: str = FILE, identity: str = "w", **fields: Any) -> Path:
    path = environments / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(definition(*states, identity=identity, **fields))
    moment = path.stat().st_mtime_ns + next(_WRITES) * 1_000_000  # two within the resolution of the clock differ
    os.utime(path, ns=(moment, moment))
    return path


def facts(home: House, identity: str = "w") -> tuple[Any, ...]:
    return home.rows(
        "SELECT status, source, sync_status, revision, source_path FROM workflows WHERE workflow_id = ?", identity
    )[0]


# By request


async def test_revisions_are_kept_and_runs_stay_bound_to_their_own(home):
    await home.create(waiting("w"))
    first = await home.start()
    assert (await update(home, waiting("w"))).version == 1, "the same content is no new revision"
    assert (await update(home, timer("t", 0))).version == 2
    assert (await rollback(home, 1)).version == 3
    second = await home.start()
    assert (first.version, second.version, (await home.start(version=2)).version) == (1, 3, 2)
    page = await home.by.workflows.versions(ListVersions(workflow_id="w", limit=2), CONTEXT)
    assert [one.version for one in page.items] == [3, 2]
    rest = await home.by.workflows.versions(ListVersions(workflow_id="w", cursor=page.next_cursor), CONTEXT)
    assert [one.version for one in rest.items] == [1]
    assert (await shown(home, version=2)).definition["states"][0]["name"] == "t"


async def test_what_is_wrong_is_said(home):
    with refusal("definition_invalid", 400) as refused:
        await home.create({"name": "x", "type": "nonsense"})
    assert refused.value.failure.errors
    assert refused.value.failure.detail.startswith("The definition has 1 error: /states/0")
    with refusal("definition_invalid", 400) as refused:
        await home.create({"name": "x", "type": "nonsense"}, {"name": "y", "type": "nonsense"})
    assert refused.value.failure.detail.startswith("The definition has 2 errors: /states/0")
    await home.create(waiting("w"))
    with refusal("workflow_exists", 409):
        await home.create(waiting("w"))
    with refusal("workflow_not_found", 404):
        await update(home, waiting("w"), identity="none")
    with refusal("id_mismatch", 400):
        request = UpdateWorkflow(workflow_id="w", source=definition(waiting("w"), identity="v"), actor="user:o")
        await home.by.workflows.update(request, CONTEXT)
    for version in (2, 2**31 - 1):
        with refusal("version_not_found", 404):
            await rollback(home, version)
        with refusal("version_not_found", 404):
            await shown(home, version=version)
    with refusal("workflow_not_found", 404):
        await shown(home, "none")


async def test_validating_stores_nothing(home):
    request = ValidateWorkflow(source=definition(agent("a")), content_type="application/json", environment="default")
    assert (await home.by.workflows.validate(request, CONTEXT)).valid
    await home.announce("b")
    result = await home.by.workflows.validate(request, CONTEXT)
    assert (result.valid, [problem.code for problem in result.errors]) == (False, ["agent_missing"])
    assert home.rows("SELECT count(*) FROM workflows") == [(0,)]


async def test_a_disabled_workflow_takes_no_new_runs(home):
    await home.create(waiting("w"))
    run = await home.start()
    for status in ("disabled", "disabled"):
        request = SetWorkflowStatus(workflow_id="w", status=status, actor="user:o")
        assert (await home.by.workflows.set_status(request, CONTEXT)).status == "disabled"
    with refusal("workflow_disabled", 409):
        await home.start()
    await home.signal(run.id)
    assert home.status(run.id) == "COMPLETED"
    await home.by.workflows.set_status(SetWorkflowStatus(workflow_id="w", status="active", actor="user:o"), CONTEXT)
    await home.start()


async def test_an_id_that_was_deleted_begins_afresh(home):
    await home.create(waiting("w"))
    await home.scheduler.programs.get("w", 1)
    await delete(home)
    with refusal("workflow_not_found", 404):
        await home.start()
    await home.create(timer("t", 60))
    run = await home.start()
    assert (run.version, run.current_states) == (1, ("t",)), "and not what the deleted one said"


async def test_what_has_runs_cannot_be_deleted(home):
    await home.create(waiting("w"))
    await asyncio.gather(home.start(), home.start())
    with pytest.raises(Refused, match="has 2 runs") as refused:
        await delete(home)
    assert refused.value.failure.context["runs"] == 2


async def test_a_deletion_and_a_start_at_the_same_moment(home):
    for _ in range(10):
        await home.create(waiting("w"))
        run, gone = await asyncio.gather(home.start(), delete(home), return_exceptions=True)
        if isinstance(run, Refused):
            assert (run.failure.code, gone) == ("workflow_not_found", None)
        else:
            assert isinstance(gone, Refused)
            break
        with refusal("workflow_not_found", 404):
            await shown(home)


async def test_a_start_that_was_refused_does_not_keep_its_workflow(home):
    await home.create(agent("a"))
    await home.announce("b")
    with refusal("agent_not_found", 400):
        await home.start()
    await delete(home)


async def test_changes_at_the_same_moment_are_one_after_the_other(home):
    await home.create(waiting("w"))
    outcomes = await asyncio.gather(*(update(home, timer("t", number)) for number in range(10)))
    assert sorted(one.version for one in outcomes) == list(range(2, 12))
    updated, _ = await asyncio.gather(update(home, timer("t", 99)), delete(home), return_exceptions=True)
    if not isinstance(updated, Workflow):
        assert isinstance(updated, Refused)
        assert updated.failure.code == "workflow_not_found"


# By file


async def test_a_file_is_stored_changed_broken_mended_and_deleted(home, environments):
    sync = home.scheduler.sync
    path = write(environments, waiting("w"))
    await sync.once()
    assert facts(home) == ("active", "file", "synced", 1, FILE)
    write(environments, timer("t", 0))
    await sync.once()
    assert facts(home) == ("active", "file", "synced", 2, FILE)
    path.write_text("{ this is no workflow")
    await sync.once()
    assert facts(home) == ("active", "file", "invalid", 2, FILE)
    assert (await home.start()).version == 2, "what was stored stays in force"
    write(environments, timer("t", 0))
    await sync.once()
    assert facts(home) == ("active", "file", "synced", 2, FILE)
    path.unlink()
    await sync.once()
    assert facts(home) == ("disabled", "file", "missing", 2, FILE)
    write(environments, timer("t", 1))
    await sync.once()
    assert facts(home) == ("active", "file", "synced", 3, FILE)


async def test_files_wait_for_their_agents(tmp_path, still_url, environments):
    async with house(tmp_path, still_url, background=False, environments=environments) as home:
        write(environments, agent("a"))
        await home.scheduler.sync.once()
        assert home.rows("SELECT 1 FROM workflows") == [], "no runner has said which agents there are"
        await home.announce("b")
        await home.scheduler.sync.once()
        assert home.rows("SELECT 1 FROM workflows") == []
        await home.announce("a", "b")
        await home.scheduler.sync.once()
        assert facts(home)[:3] == ("active", "file", "synced")
        await home.announce("b")
        await home.scheduler.sync.once()
        assert facts(home)[2] == "invalid"


async def announce_schemas(home: House, given: str, taken: str) -> None:
    """An agent ``makes`` in another environment whose `v` is of one type, and ``takes`` whose `v` is of another."""
    schemas = [{"type": "object", "properties": {"v": {"type": kind}}, "required": ["v"]} for kind in (given, taken)]
    common: dict[str, Any] = {"model": "exec", "source_file": "x.prompt"}
    agents = (
        AgentSummary(name="makes", environment="other", output_schema=schemas[0], digest=given, **common),
        AgentSummary(name="takes", environment="default", input_schema=schemas[1], digest=taken, **common),
        AgentSummary(name="has", environment="default", input_schema=schemas[1], defaults=("v",), digest="d", **common),
    )
    announced = AnnounceRunner(runner="schemas", boot=1, environments=("default", "other"), agents=agents)
    await home.by.steps.announce(announced, CONTEXT)


async def test_files_are_compared_with_their_agents_again_when_those_change(home, environments):
    states = (
        action("a", "agent.run", {"agent": "makes@other"}, "b"),
        action("b", "agent.run", {"agent": "takes", "variables": {"v": "{{ steps.a.v }}"}}, "c"),
        action("c", "agent.run", {"agent": "has"}),
    )
    write(environments, *states)
    for given, taken, sync_status in (
        ("integer", "number", "synced"),
        ("integer", "string", "invalid"),
        ("string", "string", "synced"),
    ):
        await announce_schemas(home, given, taken)
        await home.scheduler.sync.once()
        assert facts(home)[2:4] == (sync_status, 1)


async def test_what_is_said_of_schemas_is_in_the_answer(home):
    await announce_schemas(home, "number", "integer")
    states = (
        action("a", "agent.run", {"agent": "makes@other"}, "b"),
        action("b", "agent.run", {"agent": "takes", "variables": {"v": "{{ steps.a.v }}"}}, "c"),
        action("c", "agent.run", {"agent": "takes", "variables": {"v": "{{ v }}"}}),
    )
    schema = {"type": "object", "properties": {"v": {"type": "integer"}}}
    made = await home.create(*states, inputSchema=schema)
    assert [(one.code, one.path) for one in made.validation.warnings] == [
        ("schema_may_fail", "/states/1/input/variables/v")
    ]
    assert [(one.code, one.path) for one in made.validation.notes] == [
        ("schema_optional", "/states/2/input/variables/v")
    ]
    assert (await shown(home)).validation.warnings == made.validation.warnings
    hopeless = action("b", "agent.run", {"agent": "takes", "variables": {"v": "x"}})
    sent = await home.create(hopeless, identity="x")
    assert [one.code for one in sent.validation.warnings] == ["schema_cannot"], "it may run where agents are others"


async def test_the_last_change_wins_between_a_file_and_the_api(tmp_path, still_url, environments, home):
    write(environments, waiting("w"))
    await home.scheduler.sync.once()
    await update(home, timer("t", 7))
    assert facts(home) == ("active", "api", "not_applicable", 2, None)
    await home.announce("a", "b", "c", "d")  # files are looked at anew
    await home.scheduler.sync.once()
    assert facts(home)[3] == 2
    again = house(tmp_path, still_url, background=False, environments=environments)
    async with again as next_life:
        await next_life.scheduler.sync.once()
        assert facts(next_life)[3] == 2, "a restart is no change of the file"
        write(environments, approval("ok"))
        await next_life.scheduler.sync.once()
        assert facts(next_life) == ("active", "file", "synced", 3, FILE)
    home.sound = False  # its memory is behind: two schedulers on one file are a test's privilege


async def test_a_file_takes_over_what_the_api_had_made(home, environments):
    await home.create(timer("t", 0))
    write(environments, waiting("w"))
    await home.scheduler.sync.once()
    assert facts(home) == ("active", "file", "synced", 2, FILE)


async def test_two_files_with_one_id(home, environments):
    sync, other = home.scheduler.sync, "default/workflows/z.workflow.json"
    first = write(environments, waiting("w"))
    write(environments, timer("t", 0), name=other)
    await sync.once()
    assert facts(home) == ("active", "file", "synced", 1, FILE)
    first.unlink()
    await sync.once()
    assert facts(home) == ("active", "file", "synced", 2, other), "the other one has it now"


async def test_a_file_that_changes_its_id_takes_the_former_away(home, environments):
    sync, other = home.scheduler.sync, "default/workflows/z.workflow.json"
    write(environments, waiting("w"))
    write(environments, timer("t", 0), name=other)
    await sync.once()
    write(environments, waiting("w"), identity="v")
    await sync.once()
    await sync.once()
    assert facts(home, "v") == ("active", "file", "synced", 1, FILE)
    assert facts(home) == ("active", "file", "synced", 2, other)


async def test_a_link_that_leads_outside_is_refused(home, environments, tmp_path):
    outside = tmp_path / "outside.json"
    outside.write_bytes(definition(waiting("w")))
    (environments / FILE).symlink_to(outside)
    inside = environments / "default" / "inside.json"
    inside.write_bytes(definition(waiting("w"), identity="v"))
    (environments / "default" / "workflows" / "v.workflow.json").symlink_to(inside)
    await home.scheduler.sync.once()
    assert home.rows("SELECT workflow_id FROM workflows") == [("v",)]


async def test_what_is_too_large_is_refused_and_does_not_hide_others(home, environments):
    write(environments, waiting("w"), name="default/workflows/a.workflow.json", description="x" * 1_100_000)
    unreadable = environments / "default" / "workflows" / "b.workflow.json"
    unreadable.mkdir()
    write(environments, waiting("w"), name="default/workflows/c.workflow.json", identity="c")
    write(environments, waiting("w"), name="default/workflows/notes.txt", identity="d")
    await home.scheduler.sync.once()
    assert home.rows("SELECT workflow_id FROM workflows") == [("c",)]


async def test_a_file_that_could_not_be_stored_is_tried_again(home, environments):
    write(environments, waiting("w"))
    submit = home.writer.submit

    def fail_once(unit):
        home.writer.submit = submit
        unit.add_guarded("DELETE FROM workflows WHERE workflow_id = 'nobody'", ())
        return submit(unit)

    home.writer.submit = fail_once
    await home.scheduler.sync.once()
    assert home.rows("SELECT 1 FROM workflows") == []
    await home.scheduler.sync.once()
    assert facts(home)[:3] == ("active", "file", "synced")


async def test_runs_of_a_file_run_in_its_environment(home, environments):
    await home.announce(environments=("default", "staging"))
    write(environments, agent("a"), name="staging/workflows/w.workflow.json")
    await home.scheduler.sync.once()
    assert (await home.start()).environment == "staging"
    await update(home, agent("b"))
    assert (await home.start()).environment == "staging", "a change over the API moves it nowhere"
