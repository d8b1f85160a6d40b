"""Commands about runs: idempotency, ids that clients choose, approvals, what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from station.contracts import subjects
from station.contracts.approvals import ApprovalView, DecideApproval
from station.contracts.runs import RunView, StartRun
from station.runtime.bus import Bus
from station.runtime.errors import Refused
from tests.support.scheduler_house import CONTEXT, House, agent, approval, house, timer, waiting


@pytest.fixture
async def home(tmp_path: Path, still_url: str) -> AsyncGenerator[House]:
    async with house(tmp_path, still_url, background=False) as opened:
        await opened.announce()
        await opened.create(waiting("w"))
        yield opened


def refusal(code: str, status: int) -> Any:
    return pytest.raises(Refused, check=lambda error: (error.failure.code, error.failure.status) == (code, status))


def count(home: House, table: str = "workflow_runs") -> int:
    return home.rows(f"SELECT count(*) FROM {table}")[0][0]


async def decide(
    home: House, identity: str, run_id: str, by: str = "user:bob", decision: Any = "approve", **fields: Any
):
    request = DecideApproval(run_id=run_id, approval_id=identity, decision=decision, by=by, **fields)
    return await home.by.approvals.decide(request, CONTEXT)


def asked(home: House, run_id: str) -> str:
    return home.rows("SELECT approval_id FROM workflow_approvals WHERE run_id = ?", run_id)[0][0]


# Idempotency


async def test_the_same_key_and_body_has_one_effect_and_one_answer(home):
    first = await home.start(input={"x": 1}, idempotency_key="k")
    await home.signal(first.id)
    again = await home.start(input={"x": 1}, idempotency_key="k", traceparent="another")
    assert again == first
    assert count(home) == 1


async def test_the_same_key_with_another_body_is_refused(home):
    await home.start(input={"x": 1}, idempotency_key="k")
    with refusal("idempotency_mismatch", 422):
        await home.start(input={"x": 2}, idempotency_key="k")
    with refusal("idempotency_mismatch", 422):
        await home.signal("run_x", actor="user:alice", idempotency_key="k")
    assert count(home) == 1


async def test_keys_belong_to_whoever_sent_them(home):
    first = await home.start(idempotency_key="k")
    other = await home.start(idempotency_key="k", actor="user:bob")
    assert first.id != other.id


async def test_many_at_once_with_one_key_are_one(home):
    runs = await asyncio.gather(*(home.start(idempotency_key="k") for _ in range(20)))
    assert len({run.id for run in runs}) == 1
    assert count(home) == 1


async def test_many_at_once_with_one_key_and_two_bodies(home):
    outcomes = await asyncio.gather(
        *(home.start(input={"x": number % 2}, idempotency_key="k") for number in range(10)), return_exceptions=True
    )
    assert sum(isinstance(outcome, RunView) for outcome in outcomes) == 5
    assert sum(isinstance(outcome, Refused) for outcome in outcomes) == 5
    assert count(home) == 1


async def test_a_key_is_known_in_the_next_life(tmp_path, still_url):
    async with house(tmp_path, still_url, background=False) as first:
        await first.create(waiting("w"))
        run = await first.start(idempotency_key="k")
    async with house(tmp_path, still_url, background=False) as second:
        assert (await second.start(idempotency_key="k")) == run
        with refusal("idempotency_mismatch", 422):
            await second.start(input={"y": 1}, idempotency_key="k")


async def test_a_refusal_is_not_kept(home):
    with refusal("workflow_not_found", 404):
        await home.start("later", idempotency_key="k")
    await home.create(waiting("w"), identity="later")
    assert (await home.start("later", idempotency_key="k")).workflow_id == "later"
    run = await home.start()
    with refusal("transition_not_allowed", 409):
        await home.control("resume", run.id, idempotency_key="r")
    await home.control("pause", run.id)
    assert (await home.control("resume", run.id, idempotency_key="r")).status == "WAITING_SIGNAL"


async def test_what_could_not_be_stored_may_be_sent_again_with_its_key(home):
    submit = home.writer.submit

    def fail_once(unit):
        home.writer.submit = submit
        unit.add_guarded("DELETE FROM workflows WHERE workflow_id = 'nobody'", ())
        return submit(unit)

    home.writer.submit = fail_once
    with refusal("store_unavailable", 503):
        await home.start(idempotency_key="k", run_id="mine")
    assert (await home.start(idempotency_key="k", run_id="mine")).id == "mine"
    assert count(home) == 1


@pytest.mark.parametrize("verb", ["pause", "cancel"])
async def test_commands_are_carried_out_once_per_key(home, verb):
    run = await home.start()
    first = await home.control(verb, run.id, idempotency_key="k")
    assert await home.control(verb, run.id, idempotency_key="k") == first
    with refusal("idempotency_mismatch", 422):
        await home.control("resume", run.id, idempotency_key="k")


async def test_a_signal_is_delivered_once_per_key_and_once_per_id(home):
    await home.create(waiting("w", "v"), waiting("v"), identity="two")
    run = await home.start("two")
    first = await home.signal(run.id, payload=1, idempotency_key="k")
    assert await home.signal(run.id, payload=1, idempotency_key="k") == first
    assert home.events(run.id).count("signal_received") == 1
    assert (await home.signal(run.id, payload=1, id=first.id)).duplicate
    assert home.status(run.id) == "WAITING_SIGNAL"


# Ids of clients


async def test_the_same_start_under_the_same_id_is_the_same_run(home):
    first = await home.start(run_id="nightly-42", input={"x": 1}, labels={"a": "b"})
    assert (await home.start(run_id="nightly-42", input={"x": 1}, labels={"a": "b"})).id == first.id
    await home.signal("nightly-42")
    assert (await home.start(run_id="nightly-42", input={"x": 1})).status == "COMPLETED"
    assert count(home) == 1


@pytest.mark.parametrize(
    "other",
    [{"input": {"x": 2}}, {"workflow": "v"}, {"version": 2}, {"environment": "elsewhere"}, {"labels": {"a": "c"}}],
    ids=str,
)
async def test_another_start_under_the_same_id_is_refused(home, other):
    await home.create(waiting("w"), identity="v")
    await home.start(run_id="r", input={"x": 1})
    with refusal("run_id_taken", 409):
        await home.start(**{"run_id": "r", "input": {"x": 1}} | other)


async def test_many_at_once_under_one_id_are_one(home):
    runs = await asyncio.gather(*(home.start(run_id="r") for _ in range(20)))
    assert {run.id for run in runs} == {"r"}
    assert count(home) == 1


@pytest.mark.parametrize("run_id", ["", "a.b", "a b", "*", ">", "ä", "x" * 129, "a/b"])
async def test_an_id_that_could_not_stand_in_a_subject_is_refused(home, run_id):
    with refusal("run_id_invalid", 400):
        await home.start(run_id=run_id)


async def test_a_label_that_no_filter_could_name_is_refused(home):
    with pytest.raises(Refused) as refused:
        await home.start(labels={"team": "a:b=c", "a:b/c": "x", "b=": "y", "": "z"})
    failure = refused.value.failure
    assert (failure.code, failure.status) == ("label_invalid", 400)
    assert [problem.path for problem in failure.errors] == ["/labels/a:b~1c", "/labels/b=", "/labels/"]
    assert "'a:b/c' has ':' in its name" in failure.detail
    assert count(home) == 0
    assert (await home.start(labels={"team": "a:b=c"})).labels == {"team": "a:b=c"}


# What cannot be started or steered


async def test_a_start_is_checked_before_there_is_a_run(home):
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    await home.create(agent("a"), identity="checked", inputSchema=schema)
    with pytest.raises(Refused) as refused:
        await home.start("checked", input={"n": "one", "ctx": 1})
    assert refused.value.failure.status == 400
    assert next((problem.code, problem.path) for problem in refused.value.failure.errors) == (
        "reserved_name",
        "/input/ctx",
    )
    assert "/input/n" in [problem.path for problem in refused.value.failure.errors]
    with refusal("version_not_found", 404):
        await home.start("checked", input={"n": 1}, version=2)
    with refusal("environment_not_found", 400):
        await home.start("checked", input={"n": 1}, environment="moon")
    await home.announce("b")
    with refusal("agent_not_found", 400):
        await home.start("checked", input={"n": 1})
    assert count(home) == 0


async def test_numbers_that_cannot_travel_are_refused(home):
    with refusal("input_invalid", 400):
        await home.start(input={"n": 2**70})
    run = await home.start()
    with refusal("signal_invalid", 400):
        await home.signal(run.id, payload=[2**70])


async def test_commands_to_runs_that_are_not_there_or_over(home):
    for verb in ("pause", "resume", "cancel"):
        with refusal("run_not_found", 404):
            await home.control(verb, "run_none")
    with refusal("run_not_found", 404):
        await home.signal("run_none")
    run = await home.start()
    await home.signal(run.id)
    for verb in ("pause", "resume", "cancel"):
        with refusal("transition_not_allowed", 409):
            await home.control(verb, run.id)
    with refusal("run_ended", 409):
        await home.signal(run.id)


# Approvals


async def test_an_approval_is_decided_once(home):
    await home.create(approval("ok"), identity="question")
    run = await home.start("question")
    identity = asked(home, run.id)
    outcomes = await asyncio.gather(
        *(decide(home, identity, run.id, f"user:u{number}") for number in range(5)), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    assert len(refused) == 4
    assert {(error.failure.code, error.failure.status) for error in refused} == {("approval_decided", 409)}
    assert {error.failure.context["decision"]["by"] for error in refused} == {"user:u0"}
    assert home.status(run.id) == "COMPLETED"


async def test_a_decision_that_waits_for_an_evaluation_is_told_who_was_first(home):
    await home.create(approval("ok"), identity="question")
    run = await home.start("question")
    slot = home.scheduler.engine.runs.cached(run.id)
    assert slot is not None
    slot.hold()
    both = asyncio.gather(
        *(decide(home, asked(home, run.id), run.id, f"user:u{number}") for number in range(2)), return_exceptions=True
    )
    await asyncio.sleep(0)
    slot.release()
    first, second = await both
    assert isinstance(first, ApprovalView)
    assert first.status == "APPROVED"
    assert isinstance(second, Refused)
    assert second.failure.context["decision"]["by"] == "user:u0"


async def test_decisions_have_keys_too(home):
    await home.create(approval("ok", quorum=2), identity="question")
    run = await home.start("question")
    identity = asked(home, run.id)
    first = await decide(home, identity, run.id, idempotency_key="k", comment="fine")
    assert await decide(home, identity, run.id, idempotency_key="k", comment="fine") == first
    assert [(one.by, one.comment) for one in first.decisions] == [("user:bob", "fine")]
    with refusal("already_decided_by_you", 409):
        await decide(home, identity, run.id)
    second = await decide(home, identity, run.id, "user:carol")
    assert second.status == "APPROVED"


async def test_what_is_decided_must_be_what_stands(home):
    await home.create(approval("ok"), identity="question")
    run = await home.start("question")
    identity = asked(home, run.id)
    with refusal("digest_mismatch", 409):
        await decide(home, identity, run.id, summary_digest="0" * 64)
    with refusal("approval_not_found", 404):
        await decide(home, "appr_none", run.id)
    with refusal("run_not_found", 404):
        await decide(home, identity, "run_none")
    await home.control("cancel", run.id)
    with refusal("approval_closed", 409):
        await decide(home, identity, run.id)


# Over the bus


async def test_requests_over_the_bus(home, still_url):
    await home.serve()
    bus = await Bus.connect(still_url, name="gateway")
    try:
        run = await bus.request(subjects.RUN_START, StartRun(workflow_id="w", actor="user:a"), RunView)
        assert run.status == "WAITING_SIGNAL"
        with refusal("workflow_not_found", 404):
            await bus.request(subjects.RUN_START, StartRun(workflow_id="none"), RunView)
        answer = await bus.nc.request(subjects.QUERY_RUN, b'{"runId": "%s"}' % run.id.encode(), timeout=5)
        assert b'"waitingFor":"the signal' in answer.data
        (bad, worse) = [
            (await bus.nc.request(subject, body, timeout=5)).headers
            for subject, body in ((subjects.QUERY_RUN, b"{}"), (subjects.QUERY_RUNS, b'{"limit": 100000}'))
        ]
        assert bad is not None
        assert worse is not None
        assert bad["Nats-Service-Error-Code"] == worse["Nats-Service-Error-Code"] == "400"
    finally:
        await bus.close()


async def test_a_run_that_has_just_been_stored_is_seen_as_it_is(home):
    await home.create(timer("t", 0.0, "w"), waiting("w"), identity="t")
    run = await home.start("t")
    assert run.status == "RUNNING"
    assert run.current_states == ("t",)
