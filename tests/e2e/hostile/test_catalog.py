"""Every subject of the catalog, whatever is added to it, gets what makes no sense, and nothing of it is kept trying."""

import random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from station.contracts.catalog import CATALOG, EXTERNAL, SCHEDULER, Exchange, Kind
from station.scheduler.doctor import check
from tests.e2e.hostile.bus import Hands, status_of
from tests.e2e.workflows import inject, store
from tests.support.examples import example
from tests.support.system import System
from tests.support.waiting import eventually

JSON = {"content-type": "application/json"}
FUTURE = {**JSON, "station-contract": "99"}
SEED = 4_711
UNREADABLE = ("empty", "random", "truncated", "wrong-type", "future-version")
UNKNOWN, ENDED = "unknown-run", "ended-run"
NO_RUN = "no-such-run"
RULES = {Kind.REQUEST: "refused", Kind.TASK: "kept", Kind.EVENT: "passed over", Kind.CONTROL: "passed over"}


def spoiled(exchange: Exchange) -> dict[str, tuple[bytes, dict[str, str] | None]]:
    """Bodies that are no message of the exchange, with their headers, by what is wrong with them."""
    name = exchange.event_types[0] if exchange.event_types else exchange.body.__name__
    whole = msgspec.json.encode(example(name))
    return {
        "empty": (b"", None),
        "random": (b"\xc1" + random.Random(SEED).randbytes(500), None),
        "truncated": (whole[:-1], JSON),
        "wrong-type": (b'["not", "an", "object"]', JSON),
        "future-version": (whole, FUTURE),
    }


def of_run(exchange: Exchange, run_id: str) -> bytes:
    """A whole message of the exchange, about this run as far as its body names one."""
    name = exchange.event_types[0] if exchange.event_types else exchange.body.__name__
    body: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(example(name)))
    _rename(body, run_id)
    return msgspec.json.encode(body)


def _rename(value: Any, run_id: str) -> None:
    if isinstance(value, dict):
        value.update({key: run_id for key in ("runId", "run_id") if key in value})
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _rename(inner, run_id)


def _needs_fields(exchange: Exchange) -> bool:
    return any(field.required for field in msgspec.structs.fields(exchange.body))


def subject_of(exchange: Exchange, run_id: str, mark: str) -> str:
    """The exchange's subject for this run; ``mark`` tells apart what was sent."""
    return exchange.subject.format(runId=run_id, stepId=mark, signalId=mark, attempt=1, service="nobody")


def test_every_kind_of_message_has_a_rule() -> None:
    assert {exchange.kind for exchange in CATALOG} == RULES.keys()


@pytest.mark.parametrize("exchange", CATALOG, ids=lambda exchange: exchange.subject)
async def test_what_makes_no_sense_is_refused_kept_or_passed_over(unshaken: System, exchange: Exchange) -> None:
    store(unshaken, "over", inject("end", {}))
    ended = unshaken.finish(unshaken.start_run("over"))["id"]
    proof: dict[Kind, Callable[[System, Hands, Exchange, str], Awaitable[None]]] = {
        Kind.REQUEST: _are_refused,
        Kind.TASK: _are_kept,
        Kind.EVENT: _are_passed_over,
        Kind.CONTROL: _are_passed_over,
    }
    async with Hands(unshaken) as hands:
        await proof[exchange.kind](unshaken, hands, exchange, ended)
        await _nothing_is_tried_again(hands)
    unshaken.finish(unshaken.start_run("over"))


async def _are_refused(_: System, hands: Hands, exchange: Exchange, ended: str) -> None:
    for name, (body, headers) in spoiled(exchange).items():
        answer = await hands.ask(exchange.senders[0], exchange.subject, body, headers)
        if name != "empty" or _needs_fields(exchange):
            assert 400 <= status_of(answer) < 500, (name, answer.data[:300])
        else:
            assert status_of(answer) == 200, "an empty request asks with the defaults of its fields"
    for run_id in (NO_RUN, ended):
        answer = await hands.ask(exchange.senders[0], exchange.subject, of_run(exchange, run_id), JSON)
        assert status_of(answer) < 500, (run_id, answer.data[:300])


async def _are_kept(system: System, hands: Hands, exchange: Exchange, ended: str) -> None:
    user = EXTERNAL if EXTERNAL in exchange.senders else SCHEDULER
    client = await hands.of(user)
    sent: dict[str, str] = {}
    for name, (body, headers) in spoiled(exchange).items():
        sent[name] = subject_of(exchange, f"{name}-{len(exchange.subject)}", name)
        await client.publish(sent[name], body, headers=headers)
    for name, run_id in ((UNKNOWN, NO_RUN), (ENDED, ended)):
        sent[name] = subject_of(exchange, run_id, name)
        await client.publish(sent[name], of_run(exchange, run_id), headers=JSON)
    if user == SCHEDULER:
        # A task of a run that has ended meanwhile is what becomes of every task at a cancellation: it is acknowledged.
        del sent[ENDED]
    await eventually(lambda: set(sent.values()) <= _letters(system))
    report = {letter.subject: letter.detail for letter in check(system.sqlite, 1).dead_letters}
    assert "'99'" in report[sent["future-version"]]


async def _are_passed_over(_: System, hands: Hands, exchange: Exchange, ended: str) -> None:
    client = await hands.of(exchange.senders[0])
    for run_id in (NO_RUN, ended):
        subject = subject_of(exchange, run_id, "no-step")
        for body, headers in spoiled(exchange).values():
            await client.publish(subject, body, headers=headers)
        await client.publish(subject, of_run(exchange, run_id), headers=JSON)
    await client.flush()


def _letters(system: System) -> set[str]:
    return {letter.subject for letter in check(system.sqlite, 1).dead_letters}


async def _nothing_is_tried_again(hands: Hands) -> None:
    """The stream of tasks gets empty: what nobody can use is not in it any more."""
    stream = (await hands.of(SCHEDULER)).jetstream()
    while (await stream.stream_info("WORKFLOW_TASKS")).state.messages:
        pass
