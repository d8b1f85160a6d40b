"""approval-service as a process: a real NATS server, and a scheduler that only knows approvals by heart."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from station.approval_service import app
from station.approval_service.settings import Settings
from station.contracts import subjects
from station.contracts.approvals import (
    ApprovalPage,
    ApprovalTask,
    ApprovalView,
    Decide,
    DecideApproval,
    GetApproval,
    ListApprovals,
    Principal,
)
from station.contracts.health import GetHealth, Health
from station.contracts.statuses import ApprovalStatus
from station.contracts.work import MOST_BODY_BYTES, Done, KeepLetter
from station.runtime import codec
from station.runtime.bus import Bus
from station.runtime.lifecycle import Stop
from station.runtime.rpc import Endpoint, Refused, RpcContext, Served, refuse, serve
from station.runtime.streams import ensure_consumer, ensure_streams
from tests.support.nats import NatsServer, nats_server  # noqa: F401

OPEN = ApprovalView(
    id="appr_1",
    run_id="run_1",
    step_id="s1",
    workflow_id="w",
    state_name="ask",
    message="May it?",
    summary={"n": 1},
    summary_digest="d",
    approvers=("user:alice", "team:sre"),
    quorum=1,
    allow_self_approval=False,
    started_by="user:alice",
    status=ApprovalStatus.PENDING,
    decisions=(),
    requested_at="2026-01-01T00:00:00.000Z",
    deadline_at=None,
)


class KnowsApprovals:
    """Stands where the scheduler stands on the bus, and keeps what it was asked."""

    def __init__(self, *approvals: ApprovalView) -> None:
        self.approvals = {approval.id: approval for approval in approvals}
        self.asked = asyncio.Queue[GetApproval]()
        self.lists: list[ListApprovals] = []
        self.letters: list[KeepLetter] = []
        self.decided: list[tuple[DecideApproval, str | None]] = []

    async def list(self, query: ListApprovals, _context: RpcContext) -> ApprovalPage:
        self.lists.append(query)
        items = tuple(self.approvals.values())
        return ApprovalPage(items=items, next_cursor=None, total=len(items))

    async def get(self, query: GetApproval, _context: RpcContext) -> ApprovalView:
        self.asked.put_nowait(query)
        found = self.approvals.get(query.approval_id)
        if found is None:
            raise refuse(404, "approval_not_found", "there is no such approval")
        return found

    async def decide(self, command: DecideApproval, context: RpcContext) -> ApprovalView:
        self.decided.append((command, context.traceparent))
        found = self.approvals[command.approval_id]
        if found.status is not ApprovalStatus.PENDING:
            raise refuse(409, "approval_decided", "somebody was faster", decision="approve")
        status = ApprovalStatus.APPROVED if command.decision == "approve" else ApprovalStatus.REJECTED
        self.approvals[found.id] = msgspec.structs.replace(found, status=status)
        return self.approvals[found.id]

    async def keep(self, letter: KeepLetter, _context: RpcContext) -> Done:
        self.letters.append(letter)
        return Done()

    async def health(self, _query: GetHealth, _context: RpcContext) -> Health:
        return Health(service="scheduler", ready=True)

    async def serve(self, bus: Bus) -> Served:
        endpoints = (
            Endpoint(subjects.QUERY_APPROVALS, ListApprovals, self.list),
            Endpoint(subjects.QUERY_APPROVAL, GetApproval, self.get),
            Endpoint(subjects.APPROVAL_DECIDE, DecideApproval, self.decide),
            Endpoint(subjects.QUERY_HEALTH, GetHealth, self.health),
            Endpoint(subjects.LETTER_KEEP, KeepLetter, self.keep),
        )
        return await serve(bus, name="station-scheduler", version="0.0.1", description="approvals", endpoints=endpoints)


class House:
    """approval-service at work, with a bus to speak to it."""

    def __init__(self, bus: Bus, scheduler: KnowsApprovals, data_dir: Path) -> None:
        self.bus = bus
        self.scheduler = scheduler
        self.data_dir = data_dir

    async def metric(self, line: str) -> float:
        facts = msgspec.json.decode((self.data_dir / "run" / "approval-service.json").read_bytes())
        async with httpx.AsyncClient(trust_env=False) as http:
            text = (await http.get(f"{facts['url']}/metrics")).text
        return next((float(row.rsplit(" ", 1)[1]) for row in text.splitlines() if row.startswith(line + " ")), 0.0)

    async def readyz(self) -> int:
        facts = msgspec.json.decode((self.data_dir / "run" / "approval-service.json").read_bytes())
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.get(f"{facts['url']}/readyz")).status_code

    async def decide(
        self, decision: str = "approve", *, user: str = "bob", teams: tuple[str, ...] = ("sre",)
    ) -> ApprovalView:
        principal = Principal(user=user, teams=teams)
        request = Decide(
            run_id="run_1",
            approval_id="appr_1",
            decision=decision,  # pyright: ignore[reportArgumentType]
            principal=principal,
            comment="fine",
            summary_digest="d",
            idempotency_key="key-1",
        )
        headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
        return await self.bus.request(subjects.INBOX_DECIDE, request, ApprovalView, headers=headers)

    async def task_is_gone(self) -> None:
        """Until the broker has no approval task any more: a work queue forgets what was acknowledged."""
        while (await self.bus.js.stream_info(subjects.TASKS_STREAM)).state.messages:  # noqa: ASYNC110 - a broker's state
            await asyncio.sleep(0.01)

    async def publish_task(self, approval: ApprovalView) -> None:
        task = ApprovalTask(
            approval_id=approval.id,
            run_id=approval.run_id,
            step_id=approval.step_id,
            workflow_id=approval.workflow_id,
            message=approval.message,
            approvers=approval.approvers,
        )
        await self.bus.js.publish(subjects.task_approval(approval.run_id, approval.step_id), codec.encode(task))


@contextlib.asynccontextmanager
async def approval_service(url: str, data_dir: Path) -> AsyncIterator[None]:
    stop = Stop()
    running = asyncio.create_task(app.main(Settings(nats_url=url, data_dir=data_dir), stop))
    yield
    stop.set()
    await running


@pytest.fixture
async def house(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[House]:  # noqa: F811
    bus = await Bus.connect(nats_server.url, name="test")
    await ensure_streams(bus)
    await ensure_consumer(bus, subjects.TASKS_STREAM, subjects.APPROVAL_CONSUMER, subjects.APPROVAL_FILTER)
    scheduler = KnowsApprovals(OPEN)
    served = await scheduler.serve(bus)
    async with approval_service(nats_server.url, tmp_path):
        house = House(bus, scheduler, tmp_path)
        await _until_serving(bus)
        yield house
    await served.stop()
    await bus.close()


async def _until_serving(bus: Bus) -> Health:
    while True:
        with contextlib.suppress(Exception):
            return await bus.request(subjects.INBOX_HEALTH, GetHealth(), Health)
        await asyncio.sleep(0.01)


async def test_a_decision_reaches_the_scheduler_as_the_person_made_it(house: House) -> None:
    before = await house.metric('station_approval_decisions_total{decision="approve"}')
    approval = await house.decide()
    assert approval.status is ApprovalStatus.APPROVED
    (command, traceparent) = house.scheduler.decided[0]
    assert command == DecideApproval(
        run_id="run_1",
        approval_id="appr_1",
        decision="approve",
        by="user:bob",
        comment="fine",
        summary_digest="d",
        idempotency_key="key-1",
    )
    assert traceparent == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert await house.metric('station_approval_decisions_total{decision="approve"}') == before + 1


@pytest.mark.parametrize(
    ("user", "teams", "code"), [("bob", ("web",), "not_an_approver"), ("alice", ("sre",), "self_approval")]
)
async def test_who_may_not_decide_never_reaches_the_scheduler(
    house: House, user: str, teams: tuple[str, ...], code: str
) -> None:
    before = await house.metric(f'station_approval_refusals_total{{code="{code}"}}')
    with pytest.raises(Refused) as refused:
        await house.decide(user=user, teams=teams)
    assert (refused.value.failure.status, refused.value.failure.code) == (403, code)
    assert house.scheduler.decided == []
    assert await house.metric(f'station_approval_refusals_total{{code="{code}"}}') == before + 1


async def test_the_second_decision_gets_the_schedulers_refusal(house: House) -> None:
    await house.decide("reject")
    with pytest.raises(Refused) as refused:
        await house.decide()
    assert (refused.value.failure.status, refused.value.failure.code) == (409, "approval_decided")
    assert refused.value.failure.context == {"decision": "approve"}


async def test_the_inbox_passes_the_filter_on(house: House) -> None:
    query = ListApprovals(mine=True, principal=Principal(user="bob", teams=("sre",)), status="PENDING", limit=7)
    page = await house.bus.request(subjects.INBOX_LIST, query, ApprovalPage)
    assert page.items == (OPEN,)
    assert house.scheduler.lists == [query]


async def test_an_open_approval_is_announced_once_even_when_its_task_comes_again(house: House) -> None:
    before = await house.metric("station_approvals_announced_total")
    for _ in range(2):
        await house.publish_task(OPEN)
        await house.task_is_gone()
    assert await house.metric("station_approvals_announced_total") == before + 1


async def test_a_task_of_a_closed_approval_is_acknowledged_in_silence(house: House) -> None:
    house.scheduler.approvals[OPEN.id] = msgspec.structs.replace(OPEN, status=ApprovalStatus.CANCELLED)
    before = await house.metric("station_approvals_announced_total")
    await house.publish_task(house.scheduler.approvals[OPEN.id])
    await house.task_is_gone()
    assert await house.metric("station_approvals_announced_total") == before
    assert not house.scheduler.letters


async def test_a_task_that_nobody_can_use_is_kept_by_the_scheduler(house: House) -> None:
    body = b"\xc1" * 70_000
    await house.bus.js.publish(subjects.task_approval("run_9", "s9"), body)
    await house.publish_task(msgspec.structs.replace(OPEN, id="appr_unknown"))
    await house.task_is_gone()
    letters = {letter.subject: letter for letter in house.scheduler.letters}
    unread, unknown = (letters[subjects.task_approval(*of)] for of in (("run_9", "s9"), (OPEN.run_id, OPEN.step_id)))
    assert (unread.body, unread.size) == (body[:MOST_BODY_BYTES], len(body))
    assert "no such approval" in unknown.reason
    assert await house.metric("station_approval_tasks_undecodable_total") >= 2


async def test_what_cannot_be_kept_now_stays_in_the_stream(
    nats_server: NatsServer,  # noqa: F811
    tmp_path: Path,
) -> None:
    bus = await Bus.connect(nats_server.url, name="test")
    await ensure_streams(bus)
    await ensure_consumer(bus, subjects.TASKS_STREAM, subjects.APPROVAL_CONSUMER, subjects.APPROVAL_FILTER)
    async with approval_service(nats_server.url, tmp_path):
        house = House(bus, KnowsApprovals(OPEN), tmp_path)
        await _until_serving(bus)
        await bus.js.publish(subjects.task_approval("run_9", "s9"), b"\xc1")
        while not (await bus.js.consumer_info(subjects.TASKS_STREAM, subjects.APPROVAL_CONSUMER)).num_redelivered:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        served = await house.scheduler.serve(bus)
        await house.task_is_gone()
        # Perhaps twice: whoever asks a scheduler that has just started asks again.
        assert {letter.subject for letter in house.scheduler.letters} == {subjects.task_approval("run_9", "s9")}
        await served.stop()
    await bus.close()


async def test_without_a_scheduler_the_answer_says_so_and_the_task_waits(
    nats_server: NatsServer,  # noqa: F811
    tmp_path: Path,
) -> None:
    bus = await Bus.connect(nats_server.url, name="test")
    await ensure_streams(bus)
    await ensure_consumer(bus, subjects.TASKS_STREAM, subjects.APPROVAL_CONSUMER, subjects.APPROVAL_FILTER)
    async with approval_service(nats_server.url, tmp_path):
        house = House(bus, KnowsApprovals(OPEN), tmp_path)
        health = await _until_serving(bus)
        assert health.ready is False
        assert await house.readyz() == 503
        with pytest.raises(Refused) as refused:
            await house.decide()
        assert (refused.value.failure.status, refused.value.failure.code) == (503, "scheduler_unavailable")
        await house.publish_task(OPEN)
        served = await house.scheduler.serve(bus)
        await house.task_is_gone()
        assert (await house.scheduler.asked.get()).approval_id == OPEN.id
        assert await house.readyz() == 200
        await served.stop()
    await bus.close()
