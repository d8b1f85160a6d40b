"""The connection: requests end soon and honestly, whatever happens to the broker."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from nats.aio.msg import Msg

from station.contracts.headers import CONTENT_TYPE, CONTRACT_VERSION, JSON, PARTS, TRACEPARENT
from station.contracts.health import GetHealth, Health
from station.runtime import bus as bus_module
from station.runtime import lifecycle
from station.runtime.broker import inbox_prefix, write_config
from station.runtime.bus import Bus, Refused, Unavailable
from station.runtime.codec import encode
from tests.support.nats import NatsServer, free_port, nats_server  # noqa: F401

HEALTH = Health(service="x", ready=True)


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:  # noqa: F811
    connection = await Bus.connect(nats_server.url, name="test", inbox_prefix="_INBOX_test")
    yield connection
    await connection.close()


async def answer_with(bus: Bus, subject: str, body: bytes, headers: dict[str, str] | None = None) -> list[Msg]:
    """Answer on the subject with plain NATS, as a foreign service would; returns what was asked."""
    asked: list[Msg] = []

    async def answer(message: Msg) -> None:
        asked.append(message)
        await bus.nc.publish(message.reply, body, headers=headers)

    await bus.nc.subscribe(subject, cb=answer)
    await bus.flush()
    return asked


async def until(condition: asyncio.Event) -> None:
    await asyncio.wait_for(condition.wait(), 10)


async def test_a_request_carries_its_headers_and_gets_its_answer(bus: Bus) -> None:
    asked = await answer_with(bus, "health", encode(HEALTH))
    assert await bus.request("health", GetHealth(), Health, headers={TRACEPARENT: "t"}) == HEALTH
    assert asked[0].data == encode(GetHealth())
    assert asked[0].headers == {
        CONTENT_TYPE: "application/msgpack",
        CONTRACT_VERSION: "1",
        PARTS: "32",
        TRACEPARENT: "t",
    }
    assert asked[0].reply.startswith("_INBOX_test.")


async def test_an_answer_can_be_taken_as_it_is(bus: Bus) -> None:
    await answer_with(bus, "health", b'{"ready":true}')
    assert await bus.request("health", GetHealth(), bytes, content_type=JSON) == b'{"ready":true}'


async def test_nobody_there_is_told_at_once(bus: Bus) -> None:
    with pytest.raises(Unavailable, match="nobody answers"):
        await bus.request("nowhere", GetHealth(), Health, timeout=60)


async def test_silence_ends_at_the_timeout_and_leaves_nothing_behind(bus: Bus) -> None:
    await bus.nc.subscribe("silent", cb=_ignore)
    with pytest.raises(Unavailable, match=r"silent: no answer within 0\.05 s"):
        await bus.request("silent", GetHealth(), Health, timeout=0.05)
    assert not bus._replies._waiting


async def test_the_error_of_a_foreign_service_is_a_refusal(bus: Bus) -> None:
    await answer_with(bus, "foreign", b"", {"Nats-Service-Error-Code": "404", "Nats-Service-Error": "no such thing"})
    with pytest.raises(Refused) as caught:
        await bus.request("foreign", GetHealth(), Health)
    assert (caught.value.failure.status, caught.value.failure.detail) == (404, "no such thing")


async def test_a_message_that_is_too_large_is_refused_here(bus: Bus) -> None:
    with pytest.raises(Refused) as caught:
        await bus.request("health", {"x": "y" * bus.nc.max_payload}, Health)
    assert caught.value.failure.status == 413


async def test_a_request_under_way_fails_when_the_broker_dies(bus: Bus, nats_server: NatsServer) -> None:  # noqa: F811
    arrived = asyncio.Event()

    async def never_answers(_message: Msg) -> None:
        arrived.set()

    await bus.nc.subscribe("silent", cb=never_answers)
    asking = asyncio.create_task(bus.request("silent", GetHealth(), Health, timeout=60))
    await until(arrived)
    nats_server.kill()
    with pytest.raises(Unavailable, match="connection to the broker broke"):
        await asking


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_it_comes_back_with_the_broker(bus: Bus, nats_server: NatsServer, end: str) -> None:  # noqa: F811
    await answer_with(bus, "health", encode(HEALTH))
    back = asyncio.Event()
    bus.on_reconnect(back.set)
    getattr(nats_server, end)()
    nats_server.start()
    await until(back)
    assert bus.connected
    assert await bus.request("health", GetHealth(), Health) == HEALTH


async def test_the_first_connection_waits_for_the_broker(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    connecting = asyncio.create_task(Bus.connect(server.url, name="early"))
    await asyncio.sleep(0)
    with server:
        bus = await asyncio.wait_for(connecting, 10)
        assert bus.connected
        await bus.close()


async def test_giving_up_to_connect_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()
    connecting = asyncio.create_task(Bus.connect("nats://127.0.0.1:1", name="never"))
    await asyncio.sleep(0)
    connecting.cancel()
    await asyncio.wait({connecting})
    await asyncio.sleep(0)
    assert connecting.cancelled()
    assert asyncio.all_tasks() == before


async def test_after_a_flush_a_subscription_hears_what_others_send(bus: Bus, nats_server: NatsServer) -> None:  # noqa: F811
    other = await Bus.connect(nats_server.url, name="other")
    for number in range(200):
        subscription = await bus.nc.subscribe(f"told.{number}")
        await bus.flush()
        await other.publish(f"told.{number}", b"x")
        await subscription.next_msg(5)
    await other.close()


async def test_publishing_bytes_sends_them_as_they_are_and_structs_encoded(bus: Bus) -> None:
    subscription = await bus.nc.subscribe("told")
    await bus.publish("told", b"raw")
    await bus.publish("told", HEALTH)
    raw, struct = [await subscription.next_msg(5) for _ in range(2)]
    assert (raw.data, raw.headers) == (b"raw", None)
    assert struct.data == encode(HEALTH)


def test_closing_while_the_broker_dies_is_harmless(nats_server: NatsServer) -> None:  # noqa: F811
    async def close_late() -> None:
        bus = await Bus.connect(nats_server.url, name="test")
        transport = bus.nc._transport
        assert transport is not None
        transport._io_writer.transport.abort()  # pyright: ignore[reportAttributeAccessIssue]
        await bus.publish("nowhere", b"still pending")
        await bus.close()

    uvloop.run(close_late())  # the loop of every service; it tells of a closed transport in its own way


def test_what_is_sent_before_the_end_is_noticed_goes_with_the_next_connection(nats_server: NatsServer) -> None:  # noqa: F811
    async def send_late() -> list[bytes]:
        bus, other = [await Bus.connect(nats_server.url, name=name) for name in ("sender", "listener")]
        heard = await other.nc.subscribe("late")
        await other.flush()
        client: Any = bus.nc
        client._transport._io_writer.transport.abort()
        await bus.publish("late", b"first")
        await asyncio.wait([client._flusher_task])  # it has met the closed transport; nobody else has yet
        try:
            await bus.publish("late", b"second")
            return [(await heard.next_msg(timeout=30)).data for _ in range(2)]
        finally:
            await heard.unsubscribe()
            await bus.close()
            await other.close()

    assert uvloop.run(send_late()) == [b"first", b"second"]


async def test_closing_twice_is_harmless_and_asking_after_it_is_told(bus: Bus) -> None:
    await bus.close()
    await bus.close()
    with pytest.raises(Unavailable):
        await bus.request("health", GetHealth(), Health)


async def test_a_user_that_the_broker_throws_out_ends_the_process(tmp_path: Path) -> None:
    """The client does not come back from that by itself; a process that is started anew reads the new password."""
    broker = write_config(tmp_path, free_port())
    stop = lifecycle.Stop()
    lifecycle._current.set(stop)
    with NatsServer(tmp_path, config=broker.config_path, port=broker.port) as server:
        bus = await Bus.connect(broker.url_for("gateway"), name="test", inbox_prefix=inbox_prefix("gateway"))
        (tmp_path / "credentials").unlink()
        write_config(tmp_path, broker.port)
        os.kill(server.pid, signal.SIGHUP)
        await until(stop)
        await bus.close()
    assert "authorization failed" in str(stop.failure)


async def test_a_wrong_password_is_told_without_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()

    def warning(event: str, **facts: object) -> None:
        if not told.done():
            told.set_result({"event": event, **facts})

    monkeypatch.setattr(bus_module, "_SECONDS_BETWEEN_NOTES", 0)
    monkeypatch.setattr(bus_module.log, "warning", warning)
    broker = write_config(tmp_path, free_port())
    with NatsServer(tmp_path, config=broker.config_path, port=broker.port):
        connecting = asyncio.create_task(Bus.connect(f"nats://gateway:hunter2@127.0.0.1:{broker.port}", name="test"))
        facts = await asyncio.wait_for(told, 10)
        connecting.cancel()
        await asyncio.wait({connecting})
    assert facts["event"] == "bus_waiting"
    assert "Authorization Violation" in str(facts["error"])
    assert facts["url"] == f"nats://gateway:***@127.0.0.1:{broker.port}"


async def _ignore(_message: Msg) -> None: ...
