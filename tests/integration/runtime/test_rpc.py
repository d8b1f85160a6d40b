"""Serving: every request gets one answer, in its own format, and one slow request holds up no other."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from nats.micro.service import ServiceVerb, control_subject

from station.contracts.headers import CONTENT_TYPE, ERROR_CODE, ERROR_TEXT, JSON, MSGPACK, TRACEPARENT
from station.contracts.runs import GetRun, SignalAccepted
from station.runtime.bus import Bus, Refused, Unavailable
from station.runtime.codec import encode
from station.runtime.rpc import Endpoint, RpcContext, Served, refuse, serve
from tests.support.nats import NatsServer, nats_server  # noqa: F401

LARGE = "y" * 5 * 1024 * 1024 + "z"
ACCEPTED = SignalAccepted(run_id="run_1", id="sig_1", name="go")


class House:
    """A service with a handler of every kind."""

    def __init__(self) -> None:
        self.contexts: list[RpcContext] = []
        self.entered = asyncio.Event()
        self.release = asyncio.Event()

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("wf.rpc.test.struct", GetRun, self.struct),
            Endpoint("wf.rpc.test.bytes", GetRun, self.encoded),
            Endpoint("wf.rpc.test.refuse", GetRun, self.refuse),
            Endpoint("wf.rpc.test.crash", GetRun, self.crash),
            Endpoint("wf.rpc.test.slow", GetRun, self.slow),
            Endpoint("wf.rpc.test.large", GetRun, self.large),
            Endpoint("wf.rpc.test.larger", GetRun, self.larger),
        ]

    async def struct(self, request: GetRun, context: RpcContext) -> SignalAccepted:
        self.contexts.append(context)
        return msgspec.structs.replace(ACCEPTED, run_id=request.run_id)

    async def encoded(self, _request: GetRun, context: RpcContext) -> bytes:
        return encode(ACCEPTED, context.content_type)

    async def refuse(self, request: GetRun, _context: RpcContext) -> None:
        raise refuse(409, "run_ended", "The run has ended.", status=request.run_id)

    async def crash(self, _request: GetRun, _context: RpcContext) -> None:
        raise ZeroDivisionError

    async def slow(self, _request: GetRun, _context: RpcContext) -> SignalAccepted:
        self.entered.set()
        await self.release.wait()
        return ACCEPTED

    async def large(self, _request: GetRun, _context: RpcContext) -> dict[str, Any]:
        return {"x": LARGE}

    async def larger(self, _request: GetRun, _context: RpcContext) -> bytes:
        return bytes(33 * 1024 * 1024)


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:  # noqa: F811
    connection = await Bus.connect(nats_server.url, name="test")
    yield connection
    await connection.close()


@pytest.fixture
async def house(bus: Bus) -> AsyncIterator[tuple[House, Served]]:
    house = House()
    served = await serve(
        bus, name="station-test", version="1.2.3", description="Tests.", endpoints=house.endpoints(), max_in_flight=8
    )
    yield house, served
    house.release.set()
    await served.stop()


Fixture = tuple[House, Served]


@pytest.mark.parametrize("content_type", [MSGPACK, JSON])
@pytest.mark.parametrize("subject", ["wf.rpc.test.struct", "wf.rpc.test.bytes"])
async def test_the_answer_comes_in_the_format_of_the_question(
    bus: Bus, house: Fixture, subject: str, content_type: str
) -> None:
    assert await bus.request(subject, GetRun(run_id="run_1"), SignalAccepted, content_type=content_type) == ACCEPTED
    raw = await bus.nc.request(
        subject, encode(GetRun(run_id="run_1"), content_type), headers={CONTENT_TYPE: content_type}
    )
    assert raw.headers
    assert raw.headers[CONTENT_TYPE] == content_type


async def test_plain_json_from_a_command_line_is_understood(bus: Bus, house: Fixture) -> None:
    raw = await bus.nc.request("wf.rpc.test.struct", b'{"runId": "run_9"}')
    assert msgspec.json.decode(raw.data)["runId"] == "run_9"


async def test_the_trace_reaches_the_handler(bus: Bus, house: Fixture) -> None:
    await bus.request("wf.rpc.test.struct", GetRun(run_id="r"), SignalAccepted, headers={TRACEPARENT: "00-a"})
    await bus.nc.request("wf.rpc.test.struct", b'{"runId": "r"}', headers={"Traceparent": "00-b"})
    assert [context.traceparent for context in house[0].contexts] == ["00-a", "00-b"]


async def test_a_request_is_given_up_at_once_when_the_service_that_has_it_starts_anew(
    bus: Bus,
    house: Fixture,
    nats_server: NatsServer,  # noqa: F811
) -> None:
    await bus.nc.subscribe("wf.rpc.other.slow")
    await bus.flush()
    asked = [
        asyncio.create_task(bus.request(subject, GetRun(run_id="r"), SignalAccepted, timeout=60))
        for subject in ("wf.rpc.test.slow", "wf.rpc.other.slow")
    ]
    await house[0].entered.wait()
    successor = await Bus.connect(nats_server.url, name="successor")
    served = await serve(
        successor, name="station-test", version="1.2.4", description="Tests.", endpoints=House().endpoints()
    )
    with pytest.raises(Unavailable, match="started anew"):
        await asked[0]
    assert not asked[1].done(), "what was asked of another service waits on"
    asked[1].cancel()
    await served.stop()
    await successor.close()


async def test_a_refusal_arrives_as_it_was_raised(bus: Bus, house: Fixture) -> None:
    with pytest.raises(Refused) as caught:
        await bus.request("wf.rpc.test.refuse", GetRun(run_id="FAILED"), SignalAccepted)
    failure = caught.value.failure
    assert (failure.status, failure.code, failure.context) == (409, "run_ended", {"status": "FAILED"})
    raw = await bus.nc.request("wf.rpc.test.refuse", b'{"runId": "FAILED"}')
    assert raw.headers
    assert (raw.headers[ERROR_CODE], raw.headers[ERROR_TEXT]) == ("409", "run_ended")
    assert msgspec.json.decode(raw.data)["detail"] == "The run has ended."


async def test_a_crash_is_an_answer_too_and_tells_no_secrets(bus: Bus, house: Fixture) -> None:
    with pytest.raises(Refused) as caught:
        await bus.request("wf.rpc.test.crash", GetRun(run_id="r"), SignalAccepted)
    assert (caught.value.failure.status, caught.value.failure.code) == (500, "internal")
    assert "Zero" not in caught.value.failure.detail


@pytest.mark.parametrize(
    ("body", "headers"),
    [(b'{"runId": 5}', None), (b"", None), (b"\xff\xff", None), (b"<a/>", {CONTENT_TYPE: "text/xml"})],
)
async def test_what_cannot_be_read_is_refused_with_the_place(
    bus: Bus, house: Fixture, body: bytes, headers: dict[str, str] | None
) -> None:
    raw = await bus.nc.request("wf.rpc.test.struct", body, headers=headers)
    assert raw.headers
    assert raw.headers[ERROR_CODE] == "400"
    decode = msgspec.json.decode if raw.headers[CONTENT_TYPE] == JSON else msgspec.msgpack.decode
    assert decode(raw.data)["errors"][0]["message"]


@pytest.mark.parametrize("content_type", [MSGPACK, JSON])
async def test_an_answer_larger_than_one_message_comes_in_parts(bus: Bus, house: Fixture, content_type: str) -> None:
    asked = [
        bus.request("wf.rpc.test.large", GetRun(run_id="r"), dict[str, str], content_type=content_type)
        for _ in range(3)
    ]
    assert await asyncio.gather(*asked) == [{"x": LARGE}] * 3


async def test_an_answer_that_cannot_be_sent_is_told(bus: Bus, house: Fixture) -> None:
    with pytest.raises(Refused) as caught:
        await bus.request("wf.rpc.test.larger", GetRun(run_id="r"), bytes)
    assert caught.value.failure.code == "answer_too_large"
    raw = await bus.nc.request("wf.rpc.test.large", b'{"runId": "r"}')  # nothing says that it takes parts
    assert msgspec.json.decode(raw.data)["code"] == "answer_too_large"


async def test_a_slow_request_holds_up_no_other(bus: Bus, house: Fixture) -> None:
    slow = asyncio.create_task(bus.request("wf.rpc.test.slow", GetRun(run_id="r"), SignalAccepted, timeout=30))
    await asyncio.wait_for(house[0].entered.wait(), 5)
    assert await bus.request("wf.rpc.test.struct", GetRun(run_id="run_1"), SignalAccepted) == ACCEPTED
    assert not slow.done()
    house[0].release.set()
    assert await slow == ACCEPTED


async def test_more_than_the_bound_wait_and_are_all_answered(bus: Bus, house: Fixture) -> None:
    many = [bus.request("wf.rpc.test.slow", GetRun(run_id="r"), SignalAccepted, timeout=30) for _ in range(50)]
    asking = asyncio.gather(*many)
    await asyncio.wait_for(house[0].entered.wait(), 5)
    assert len(house[1]._tasks) <= 8
    house[0].release.set()
    assert await asking == [ACCEPTED] * 50


async def test_stopping_lets_what_runs_finish_and_takes_nothing_new(bus: Bus, house: Fixture) -> None:
    running = asyncio.create_task(bus.request("wf.rpc.test.slow", GetRun(run_id="r"), SignalAccepted, timeout=30))
    await asyncio.wait_for(house[0].entered.wait(), 5)
    stopping = asyncio.create_task(house[1].stop())
    while True:
        try:
            await bus.request("wf.rpc.test.struct", GetRun(run_id="r"), SignalAccepted, timeout=5)
        except Unavailable:
            break
    house[0].release.set()
    assert await running == ACCEPTED
    await stopping


async def test_it_shows_up_in_discovery_with_true_figures(bus: Bus, house: Fixture) -> None:
    await bus.request("wf.rpc.test.struct", GetRun(run_id="r"), SignalAccepted)
    with pytest.raises(Refused):
        await bus.request("wf.rpc.test.crash", GetRun(run_id="r"), SignalAccepted)
    ping = msgspec.json.decode((await bus.nc.request(control_subject(ServiceVerb.PING))).data)
    assert (ping["name"], ping["version"]) == ("station-test", "1.2.3")
    stats = msgspec.json.decode((await bus.nc.request(control_subject(ServiceVerb.STATS, "station-test"))).data)
    figures = {one["subject"]: one for one in stats["endpoints"]}
    assert figures["wf.rpc.test.crash"]["num_errors"] == 1
    assert figures["wf.rpc.test.struct"]["num_errors"] == 0
    assert figures["wf.rpc.test.struct"]["average_processing_time"] > 0
    assert figures["wf.rpc.test.struct"]["queue_group"] == "station-test"


async def test_a_service_without_endpoints_shows_up_too(bus: Bus) -> None:
    served = await serve(bus, name="station-quiet", version="0.1.0", description="Nothing to ask.", endpoints=[])
    info = msgspec.json.decode((await bus.nc.request(control_subject(ServiceVerb.INFO, "station-quiet"))).data)
    assert info["endpoints"] == []
    await served.stop()
