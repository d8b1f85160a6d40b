"""The stream as a front door: what other systems publish starts runs, signals them, decides approvals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.js.errors import APIError

from station.contracts import subjects
from station.contracts.approvals import ApprovalView, Decide, DecideApproval
from station.contracts.health import RunDoctor
from station.runtime import metrics, streams
from station.runtime.bus import Bus
from station.runtime.rpc import Endpoint, RpcContext, Served, refuse, serve
from station.scheduler.store.writer import Unit
from tests.support.scheduler_house import CONTEXT, House, approval, house, waiting
from tests.support.waiting import eventually


@pytest.fixture
async def home(tmp_path: Path, url: str) -> AsyncGenerator[House]:
    async with house(tmp_path, url) as opened:
        await opened.create(waiting("w"))
        yield opened


async def publish(home: House, subject: str, message: Any, **headers: str) -> None:
    body = message if isinstance(message, bytes) else msgspec.json.encode(message)
    await home.bus.js.publish(subject, body, headers=headers or None)


def letters(home: House) -> list[tuple[str, str]]:
    return home.rows("SELECT subject, reason FROM dead_letters ORDER BY id")


def figure(name: str) -> float:
    value = metrics.REGISTRY.get_sample_value(f"station_{name}")
    assert value is not None
    return value


async def taken(home: House) -> None:
    """Wait until the stream has forgotten everything that other systems sent."""
    async with asyncio.timeout(20):
        while True:
            found = [
                await home.bus.js.consumer_info(subjects.TASKS_STREAM, name)
                for name in (subjects.START_CONSUMER, subjects.RESUME_CONSUMER)
            ]
            if not any((one.num_pending or 0) + (one.num_ack_pending or 0) for one in found):
                return
            await asyncio.sleep(0.02)


async def test_a_run_is_started_and_signalled(home):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await publish(home, subjects.task_run("mine"), {"workflowId": "w", "input": {"x": 1}}, traceparent=trace)
    await eventually(lambda: home.rows("SELECT 1 FROM workflow_runs"))
    assert home.rows("SELECT run_id, started_by FROM workflow_runs") == [("mine", "bus")]
    assert trace in home.rows("SELECT data FROM workflow_run_events WHERE seq = 1")[0][0]
    await publish(home, subjects.task_resume("mine"), {"name": "go", "payload": {"n": 1}})
    await eventually(lambda: home.status("mine") == "COMPLETED")
    await taken(home)
    assert letters(home) == []


async def test_the_same_start_again_changes_nothing(home):
    for _ in range(3):
        await publish(home, subjects.task_run("mine"), {"workflowId": "w"})
        await taken(home)
    assert home.rows("SELECT count(*) FROM workflow_runs") == [(1,)]
    assert letters(home) == []


@pytest.mark.parametrize(
    ("subject", "message", "reason"),
    [
        (subjects.task_run("r"), b"{ no json", "not readable"),
        (subjects.task_run("r"), {"input": {}}, "not readable"),
        (subjects.task_run("r"), {"workflowId": "none"}, "workflow_not_found"),
        (subjects.task_run("r"), {"workflowId": "w", "input": {"ctx": 1}}, "input_invalid"),
        (subjects.task_run("r"), b'{"workflowId": "w", "input": {"n": 1180591620717411303424}}', "64 bits"),
        (subjects.task_resume("none"), {"name": "go"}, "run_not_found"),
        (subjects.task_resume("r"), {}, "neither a signal nor an approval"),
        (subjects.task_resume("r"), {"approvalId": "appr_x", "decision": "perhaps"}, "approve or reject"),
    ],
)
async def test_what_nobody_can_use_is_kept_once_and_never_tried_again(home, subject, message, reason):
    await publish(home, subject, message)
    await eventually(lambda: letters(home))
    await taken(home)
    ((where, why),) = letters(home)
    assert where == subject
    assert reason in why
    assert [letter.subject for letter in (await home.by.doctor.examine(RunDoctor(), CONTEXT)).dead_letters] == [subject]


async def test_of_a_large_dead_letter_the_beginning_is_kept(home):
    body = b"{" + b"x" * 100_000
    await publish(home, subjects.task_run("r"), body)
    await eventually(lambda: letters(home))
    ((kept, reason),) = home.rows("SELECT body, reason FROM dead_letters")
    assert kept == body[: 64 * 1024]
    assert reason.startswith("(65536 of its 100001 bytes are kept) not readable")


async def test_of_too_many_dead_letters_the_oldest_go(home):
    many = Unit()
    for number in range(10_050):
        many.add("INSERT INTO dead_letters (subject, body, reason, at) VALUES ('s', x'', ?, 0)", (str(number),))
    dropped = figure("dead_letters_dropped_total")
    await home.writer.submit(many)
    for number in range(100):
        await publish(home, subjects.task_run(f"r{number}"), b"{")
    await taken(home)
    await home.scheduler.housekeeping.once()
    assert home.rows("SELECT count(*), min(id) FROM dead_letters") == [(10_000, 151)]
    assert figure("dead_letters_dropped_total") - dropped == 150
    assert figure("dead_letters") == 10_000


async def test_a_dead_letter_that_cannot_be_kept_stays_in_the_stream(home):
    submit, failures = home.writer.submit, 1

    def failing(unit):
        nonlocal failures
        if failures and any("dead_letters" in sql for sql, _ in unit.statements):
            failures -= 1
            unit.add_guarded("DELETE FROM workflows WHERE workflow_id = 'nobody'", ())
        return submit(unit)

    home.writer.submit = failing
    await publish(home, subjects.task_run("r"), b"{")
    await eventually(lambda: letters(home))
    await taken(home)
    assert failures == 0
    assert len(letters(home)) == 1


async def test_what_a_scheduler_had_fetched_when_it_died_comes_at_once_to_the_next(tmp_path, url):
    async with house(tmp_path, url, background=False) as first:
        await first.create(waiting("w"))
        await first.scheduler.reconcile.ensure_streams()
        await publish(first, subjects.task_run("mine"), {"workflowId": "w"})
        await publish(first, subjects.task_resume("mine"), {"name": "go"})
        for durable in (subjects.START_CONSUMER, subjects.RESUME_CONSUMER):
            assert len(await streams.Fetcher(first.bus, subjects.TASKS_STREAM, durable).fetch(1)) == 1
    async with house(tmp_path, url) as second:
        await eventually(lambda: second.rows("SELECT 1 FROM workflow_runs WHERE status = 'COMPLETED'"))
        await taken(second)
        assert letters(second) == []


async def test_a_second_signal_on_the_same_subject_is_refused_to_its_sender_until_the_first_is_taken(tmp_path, url):
    async with house(tmp_path, url, background=False) as home:
        await home.scheduler.reconcile.ensure_streams()
        await publish(home, subjects.task_resume("r"), {"name": "go"})
        with pytest.raises(APIError) as refused:
            await publish(home, subjects.task_resume("r"), {"name": "go"})
        assert refused.value.err_code == 10077
        for number in range(3):
            await publish(home, subjects.task_resume("r", f"s{number}"), {"name": "go"})


async def test_signals_of_one_run_are_taken_in_their_order(tmp_path, url):
    async with house(tmp_path, url, background=False) as home:
        await home.create(waiting("w"))
        await home.scheduler.reconcile.ensure_streams()
        runs = [(await home.start()).id for _ in range(3)]
        for number in range(30):
            for run_id in runs:
                await publish(home, subjects.task_resume(run_id, f"s{number}"), {"name": "other", "payload": number})
        home.run_background()
        await eventually(lambda: home.rows("SELECT count(*) FROM workflow_signals") == [(90,)])
        await taken(home)
        for run_id in runs:
            found = home.rows("SELECT signal_id FROM workflow_signals WHERE run_id = ? ORDER BY received_seq", run_id)
            assert [row[0] for row in found] == [f"s{number}" for number in range(30)]


async def test_what_follows_a_signal_that_must_wait_waits_as_well(tmp_path, url):
    async with house(tmp_path, url, background=False) as home:
        await home.create(waiting("w"))
        await home.scheduler.reconcile.ensure_streams()
        run = await home.start()
        for number in range(5):
            await publish(home, subjects.task_resume(run.id, f"s{number}"), {"name": "other"})
        signal, failures = home.scheduler.runs.signal, 1

        async def busy(request, context=None):
            nonlocal failures
            if failures and request.id == "s1":
                failures -= 1
                raise refuse(503, "store_unavailable", "the disk is full")
            return await signal(request, context)

        home.scheduler.runs.signal = busy
        home.run_background()
        await eventually(lambda: home.rows("SELECT count(*) FROM workflow_signals") == [(5,)])
        found = home.rows("SELECT signal_id FROM workflow_signals ORDER BY received_seq")
        assert [row[0] for row in found] == [f"s{number}" for number in range(5)]


async def test_a_signal_is_known_by_its_id_its_header_its_subject_or_its_place(home):
    run = await home.start()
    await publish(home, subjects.task_resume(run.id, "a"), {"name": "other", "id": "own"})
    await publish(home, subjects.task_resume(run.id, "b"), {"name": "other"}, **{"Nats-Msg-Id": "header"})
    await publish(home, subjects.task_resume(run.id, "c"), {"name": "other"})
    await publish(home, subjects.task_resume(run.id), {"name": "other"})
    await taken(home)
    await publish(home, subjects.task_resume(run.id, "c"), {"name": "other"})
    await publish(home, subjects.task_resume(run.id), {"name": "other"})
    await taken(home)
    found = [row[0] for row in home.rows("SELECT signal_id FROM workflow_signals ORDER BY received_seq")]
    assert found[:3] == ["own", "header", "c"]
    assert len(found) == len(set(found)) == 5, "two without a name of their own are two signals"
    assert all(name.startswith("bus-") for name in found[3:])


async def approving(home: House, bus: Bus, seen: list[Decide]) -> Served:
    """An approval-service that lets everybody decide."""

    async def inbox(request: Decide, _: RpcContext) -> ApprovalView:
        seen.append(request)
        if not request.principal.user:
            raise refuse(403, "not_an_approver", "Nobody is nobody.")
        asked = DecideApproval(
            run_id=request.run_id,
            approval_id=request.approval_id,
            decision=request.decision,
            by=f"user:{request.principal.user}",
            idempotency_key=request.idempotency_key,
        )
        return await home.by.approvals.decide(asked, CONTEXT)

    return await serve(
        bus,
        name="station-approval-service",
        version="0.1.0",
        description="test",
        endpoints=[Endpoint(subjects.INBOX_DECIDE, Decide, inbox)],
    )


async def test_a_decision_goes_to_approval_service(home, url):
    await home.create(approval("ok"), identity="question")
    run = await home.start("question")
    ((identity,),) = home.rows("SELECT approval_id FROM workflow_approvals")
    message = {"approvalId": identity, "decision": "approve", "by": "bob"}
    bus, seen = await Bus.connect(url, name="approval-service"), list[Decide]()
    await publish(home, subjects.task_resume(run.id, "yes"), message)
    served = await approving(home, bus, seen)
    try:
        await eventually(lambda: home.status(run.id) == "COMPLETED")
        await taken(home)
        await publish(home, subjects.task_resume(run.id, "yes"), message)  # its acknowledgement was lost
        await taken(home)
        await publish(home, subjects.task_resume(run.id), {"approvalId": identity, "decision": "reject"})
        await taken(home)
    finally:
        await served.stop()
        await bus.close()
    assert [(one.principal.user, one.principal.auth) for one in seen] == [("bob", "bus"), ("bob", "bus"), ("", "bus")]
    assert [why.split(":")[0] for _, why in letters(home)] == ["not_an_approver"]
    assert home.events(run.id).count("approval_approved") == 1
