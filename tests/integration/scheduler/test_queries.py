"""Lists, pages, views, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from station.contracts import subjects
from station.contracts.approvals import ListApprovals, Principal
from station.contracts.errors import ErrorType, StepError
from station.contracts.health import GetHealth
from station.contracts.runs import ControlRun, GetRun, ListEvents, ListRuns, ListSteps, RunView
from station.contracts.workflows import ListVersions, ListWorkflows
from station.runtime import metrics
from station.runtime.errors import Refused
from tests.support.scheduler_house import CONTEXT, Clock, House, agent, approval, house, timer, waiting

_DAY = 86_400


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def home(tmp_path: Path, still_url: str, clock: Clock) -> AsyncGenerator[House]:
    async with house(tmp_path, still_url, clock=clock, background=False) as opened:
        await opened.announce()
        await opened.create(waiting("w"))
        yield opened


async def runs(home: House, **fields: Any):
    return await home.by.queries.runs(ListRuns(**fields), CONTEXT)


async def all_pages(ask: Callable[[str | None], Awaitable[Any]]) -> list[Any]:
    items: list[Any] = []
    cursor = None
    while True:
        page = await ask(cursor)
        items += page.items
        cursor = page.next_cursor
        if cursor is None:
            return items
        assert page.items


def watch_queries(home: House) -> list[str]:
    """Every query from now on."""
    asked: list[str] = []
    rows = home.scheduler.reader.rows

    async def counting(sql: str, parameters: Any = ()) -> Any:
        asked.append(sql)
        return await rows(sql, parameters)

    home.scheduler.reader.rows = counting
    return asked


async def test_pages_of_runs_are_newest_first_and_stay_right_while_runs_come(home, clock):
    names = [f"{'zyx'[number % 3]}{number}" for number in range(25)]
    for name in names:
        await home.start(run_id=name)
        clock.advance(1 if len(name) == 2 else 0)
    shown: list[str] = []
    cursor = None
    while True:
        page = await runs(home, limit=4, cursor=cursor)
        shown += [item.id for item in page.items]
        clock.advance(1)
        await home.start(run_id=f"new-{len(shown)}")
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(shown) == sorted(names), "each once, and none that came later"
    moments = dict(home.rows("SELECT run_id, created_at FROM workflow_runs"))
    assert [moments[name] for name in shown] == sorted((moments[name] for name in shown), reverse=True)


async def test_runs_are_filtered_by_workflow_status_and_labels(home):
    await home.create(timer("t", 60), identity="t")
    for number in range(6):
        await home.start(labels={"team": f"t{number % 2}", 'od"d.$': "x"})
    done = (await home.start(labels={"team": "t0"})).id
    await home.signal(done)
    await home.start("t")
    assert (await runs(home)).total == 8
    assert (await runs(home, workflow_id="t")).total == 1
    assert (await runs(home, status="COMPLETED")).items[0].id == done
    assert (await runs(home, labels={"team": "t0"}, limit=2)).total == 4
    assert (await runs(home, labels={"team": "t0", 'od"d.$': "x"})).total == 3
    assert (await runs(home, labels={"team": "t0"}, status="COMPLETED", workflow_id="w")).total == 1
    assert (await runs(home, labels={"team": "none"})).items == ()


async def test_cursors_that_are_none_are_refused(home):
    run = await home.start()
    by = home.by
    asks: list[Callable[[str], Awaitable[Any]]] = [
        lambda cursor: by.queries.runs(ListRuns(cursor=cursor), CONTEXT),
        lambda cursor: by.queries.steps(ListSteps(run_id=run.id, cursor=cursor), CONTEXT),
        lambda cursor: by.approvals.page(ListApprovals(cursor=cursor), CONTEXT),
        lambda cursor: by.workflows.page(ListWorkflows(cursor=cursor), CONTEXT),
        lambda cursor: by.workflows.versions(ListVersions(workflow_id="w", cursor=cursor), CONTEXT),
    ]
    for ask in asks:
        for cursor in ("", "not a cursor", "'; DROP TABLE", "1.2.3 ", "٣", "9" * 40 + ".x y"):
            with pytest.raises(Refused) as refused:
                await ask(cursor)
            assert (refused.value.failure.code, refused.value.failure.status) == ("cursor_invalid", 400)


async def test_steps_and_events_come_in_order_page_by_page(home):
    retry = {"maxAttempts": 3, "backoffSeconds": 0, "jitter": 0}
    await home.create(agent("a", "b", retry=retry), agent("b"), identity="two")
    run = await home.start("two")
    for _ in range(2):
        (step,) = home.open_steps(run.id)
        (claim,) = await home.claim(step)
        await home.report(step, claim.token, error=StepError(type=ErrorType.AGENT_ERROR, message="no"))
    await home.work(run.id, 1)
    await home.work(run.id, 2)

    async def steps(cursor: str | None):
        return await home.by.queries.steps(ListSteps(run_id=run.id, limit=1, cursor=cursor), CONTEXT)

    found = await all_pages(steps)
    assert [(one.state_name, one.attempt, one.status) for one in found] == [
        ("a", 1, "FAILED"),
        ("a", 2, "FAILED"),
        ("a", 3, "SUCCEEDED"),
        ("b", 1, "SUCCEEDED"),
    ]

    async def events(cursor: str | None):
        return await home.by.queries.events(ListEvents(run_id=run.id, limit=2, after=int(cursor or 0)), CONTEXT)

    told = await all_pages(events)
    assert [one.seq for one in told] == list(range(1, len(home.events(run.id)) + 1))
    some = await home.by.queries.events(ListEvents(run_id=run.id, type="step_failed"), CONTEXT)
    assert (some.total, {one.type for one in some.items}) == (2, {"step_failed"})
    for request in (ListSteps(run_id="none"), ListEvents(run_id="none")):
        with pytest.raises(Refused, match="run_not_found"):
            await (
                home.by.queries.steps(request, CONTEXT)
                if isinstance(request, ListSteps)
                else home.by.queries.events(request, CONTEXT)
            )


async def test_pages_that_would_outgrow_a_message_are_cut(home):
    """The broker takes 1 MiB; three outputs of 400 kB are two pages."""
    await home.create(agent("a", "b"), agent("b", "c"), agent("c"), identity="big")
    run = await home.start("big")
    for _ in range(3):
        await home.work(run.id, "ü" * 200_000)
    first = await home.by.queries.steps(ListSteps(run_id=run.id), CONTEXT)
    assert (len(first.items), first.total, first.next_cursor is None) == (2, 3, False)
    assert len(msgspec.msgpack.encode(first)) < home.bus.nc.max_payload
    second = await home.by.queries.steps(ListSteps(run_id=run.id, cursor=first.next_cursor), CONTEXT)
    assert [one.state_name for one in (*first.items, *second.items)] == ["a", "b", "c"]

    async def events(cursor: str | None):
        page = await home.by.queries.events(ListEvents(run_id=run.id, after=int(cursor or 0)), CONTEXT)
        assert len(msgspec.msgpack.encode(page)) < home.bus.nc.max_payload
        return page

    assert len(await all_pages(events)) == len(home.events(run.id))
    await home.create(approval("ok", summaryPath="input.text"), identity="question")
    for _ in range(3):
        await home.start("question", input={"text": "x" * 400_000})

    async def inbox(cursor: str | None):
        page = await home.by.approvals.page(ListApprovals(cursor=cursor), CONTEXT)
        assert len(msgspec.msgpack.encode(page)) < home.bus.nc.max_payload
        return page

    assert len(await all_pages(inbox)) == 3


async def test_a_run_larger_than_a_message_is_shown_whole(home):
    """The broker takes 1 MiB."""
    await home.serve()
    given = {"text": "ü" * 1_000_000}
    run = await home.start(input=given)
    live = await home.bus.request(subjects.QUERY_RUN, GetRun(run_id=run.id), RunView)
    assert (live.status, live.input, live.context) == ("WAITING_SIGNAL", given, {**given, "steps": {}})
    cancelled = await home.bus.request(subjects.RUN_CANCEL, ControlRun(run_id=run.id), RunView)
    ended = await home.bus.request(subjects.QUERY_RUN, GetRun(run_id=run.id), RunView)
    assert ended == cancelled
    assert (ended.status, ended.context) == ("CANCELLED", live.context)


async def test_a_view_shows_a_run_alive_and_ended(home):
    await home.create(agent("a", "w"), waiting("w"), identity="two")
    run = await home.start("two", input={"x": 1}, labels={"k": "v"})
    assert run.waiting_for == "a runner to take 'a'"
    await home.work(run.id, {"found": 1})
    alive = await home.by.queries.run(GetRun(run_id=run.id), CONTEXT)
    assert (alive.context["steps"], alive.current_states) == ({"a": {"found": 1}}, ("w",))
    assert alive.waiting_for == "the signal 'go' in 'w'"
    await home.signal(run.id, payload=[1])
    ended = await home.by.queries.run(GetRun(run_id=run.id), CONTEXT)
    assert ended.context["steps"] == {"a": {"found": 1}, "w": [1]}
    assert (ended.status, ended.output, ended.waiting_for, ended.current_states) == ("COMPLETED", [1], None, ())
    assert (ended.input, ended.labels, ended.last_seq) == ({"x": 1}, {"k": "v"}, len(home.events(run.id)))
    (summary,) = (await runs(home, workflow_id="two")).items
    assert (summary.status, summary.started_by) == ("COMPLETED", "user:alice")
    with pytest.raises(Refused, match="run_not_found"):
        await home.by.queries.run(GetRun(run_id="none"), CONTEXT)


async def test_nobody_is_shown_what_is_not_stored(home):
    run = await home.start()
    submit = home.writer.submit

    def fail_once(unit):
        home.writer.submit = submit
        unit.add_guarded("DELETE FROM workflows WHERE workflow_id = 'nobody'", ())
        return submit(unit)

    home.writer.submit = fail_once
    losing = asyncio.ensure_future(home.signal(run.id, payload="lost"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    view = await home.by.queries.run(GetRun(run_id=run.id), CONTEXT)
    assert (view.status, view.last_seq) == ("WAITING_SIGNAL", len(home.events(run.id)))
    with pytest.raises(Refused, match="store_unavailable"):
        await losing


async def test_lists_ask_the_store_a_fixed_number_of_times(home):
    for number in range(30):
        await home.create(waiting("w"), identity=f"w{number}")
        run = await home.start(f"w{number}")
        if number % 2:
            await home.signal(run.id)
    asked = watch_queries(home)
    page = await home.by.workflows.page(ListWorkflows(limit=100), CONTEXT)
    assert (len(page.items), page.total, len(asked)) == (31, 31, 3)
    asked.clear()
    assert len((await runs(home, limit=100)).items) == 30
    assert len(asked) == 2, "the rows, and the open steps of those that are open"
    asked.clear()
    page = await runs(home, limit=20)
    assert (len(page.items), page.total, len(asked)) == (20, 30, 3)


async def test_the_success_rate_is_that_of_the_last_thirty_days(home, clock):
    old = await home.start()
    await home.control("cancel", old.id)
    clock.advance(31 * _DAY)
    for number in range(4):
        run = await home.start()
        await (home.signal(run.id) if number else home.control("cancel", run.id))
    await home.start()
    page = await home.by.workflows.page(ListWorkflows(search="W"), CONTEXT)
    assert (page.items[0].success_rate30d, page.items[0].last_run_at) == (0.75, "2023-12-15T22:13:20.000Z")
    assert (await home.by.workflows.page(ListWorkflows(search="%"), CONTEXT)).total == 0
    assert (await home.by.workflows.page(ListWorkflows(status="disabled"), CONTEXT)).total == 0


async def test_the_inbox_is_filtered(home):
    await home.create(approval("ok", approvers=["team:ops", "user:bob"]), identity="named")
    await home.create(approval("ok"), identity="open")
    named, anybody = await home.start("named"), await home.start("open")

    async def inbox(**fields: Any) -> set[str]:
        return {one.run_id for one in (await home.by.approvals.page(ListApprovals(**fields), CONTEXT)).items}

    assert await inbox() == {named.id, anybody.id}
    assert await inbox(run_id=named.id) == {named.id}
    assert await inbox(mine=True, principal=Principal(user="bob")) == {named.id, anybody.id}
    assert await inbox(mine=True, principal=Principal(user="eve")) == {anybody.id}
    assert await inbox(mine=True, principal=Principal(user="eve", teams=("ops",))) == {named.id, anybody.id}
    await home.control("cancel", named.id)
    assert await inbox(status="PENDING") == {anybody.id}
    with pytest.raises(Refused, match="run_not_found"):
        await inbox(run_id="none")


async def test_figures_are_counted_once(home, clock):
    def figure(name: str, **labels: str) -> float:
        return metrics.REGISTRY.get_sample_value(name, labels) or 0.0

    names = [
        ("station_runs_total", {"status": "CREATED"}),
        ("station_runs_total", {"status": "COMPLETED"}),
        ("station_runs_total", {"status": "CANCELLED"}),
        ("station_run_seconds_count", {"status": "COMPLETED"}),
        ("station_steps_total", {"action": "agent.run", "status": "SUCCEEDED"}),
        ("station_step_seconds_count", {"action": "agent.run"}),
    ]
    before = [figure(name, **labels) for name, labels in names]
    await home.create(agent("a"), identity="work")
    run, other = await home.start("work"), await home.start("work")
    (step,), (late,) = home.open_steps(run.id), home.open_steps(other.id)
    (claim,), (second,) = await home.claim(step), await home.claim(late)
    await home.report(step, claim.token, 1)
    await home.control("cancel", other.id)
    assert await home.report(late, second.token, 1) == "fenced"
    assert [figure(name, **labels) - start for (name, labels), start in zip(names, before, strict=True)] == [
        2, 1, 1, 1, 1, 2,
    ]  # fmt: skip
    text = metrics.render().decode()
    for name in (
        "outbox_depth", "outbox_age_seconds", "queue_age_seconds", "steps_held", "steps_unclaimed", "timers_armed",
        "consumer_lag", "recoveries_total", "steps_redispatched_total", "store_commit_seconds", "runs_cached",
        "claims_total", "reports_total", "dead_letters", "relay_resent_total", "timers_late_seconds",
    ):  # fmt: skip
        assert f"station_{name}" in text, name
    clock.advance(9)
    await home.start("work")
    assert figure("station_queue_age_seconds") == 0
    clock.advance(9)
    assert figure("station_queue_age_seconds") == 9
    health = await home.by.queries.health(GetHealth(), CONTEXT)
    assert health.facts == {
        "outboxDepth": home.scheduler.relay.depth,
        "streamsRefused": 0,
        "stepsHeld": 0,
        "stepsUnclaimed": 1,
    }


async def test_runs_that_have_not_ended_are_counted_on_from_what_the_store_holds(tmp_path, still_url):
    async with house(tmp_path, still_url, background=False) as first:
        await first.create(waiting("w"))
        runs = [await first.start() for _ in range(3)]
        await first.signal(runs[0].id)
        assert first.status(runs[0].id) == "COMPLETED"
        assert metrics.REGISTRY.get_sample_value("station_runs_open") == 2
        await first.control("pause", runs[1].id)
        assert metrics.REGISTRY.get_sample_value("station_runs_open") == 2
    async with house(tmp_path, still_url, background=False) as second:
        assert metrics.REGISTRY.get_sample_value("station_runs_open") == 2
        await second.control("cancel", runs[1].id)
        await second.start()
        await second.control("cancel", runs[2].id)
        assert metrics.REGISTRY.get_sample_value("station_runs_open") == 1


async def test_keys_nobody_will_send_again_are_dropped(home, clock):
    for number in range(3):
        await home.start(idempotency_key=f"k{number}")
    clock.advance(8 * _DAY)
    await home.start(idempotency_key="new")
    await home.scheduler.housekeeping.once()
    assert home.rows("SELECT key FROM idempotency_keys") == [("new",)]
