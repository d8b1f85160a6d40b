"""Garbage on every subject of the catalog: it is refused or set aside, kept and counted, and nobody falls over it."""

import os
import random
import subprocess
import sys

import msgspec

from station.contracts.catalog import CONTROLS, EVENTS, REQUESTS, Exchange
from station.contracts.health import Finding
from station.core.identity import step_id
from station.scheduler.doctor import check
from tests.e2e.hostile.bus import Hands, broken, extreme_body, no_text, send_raw, status_of
from tests.e2e.hostile.processes import figure, frozen
from tests.e2e.workflows import agent, ask, inject, store, wait_signal
from tests.support.driver import ok
from tests.support.examples import example
from tests.support.system import SERVICES, System
from tests.support.waiting import eventually

JSON = {"content-type": "application/json"}
FUTURE = {**JSON, "station-contract": "99"}
SEED = 20_251
UNREADABLE = (
    b"garbage",
    b"NATS/1.0",
    b"NATS/1.0\r\n",
    b"NATS/1.0 5\xff3\r\n\r\n",
    b"NATS/1.0 503 \xff\r\n\r\n",
    b"NATS/1.0\r\n\xff: \xff\r\n\r\n",
    b"\r\n\r\n",
    b"NATS/1.0 408\r\n\r\n",
    b"NATS/1.0 503\r\n\r\n",
    b"NATS/1.0 100 Idle Heartbeat\r\n\r\n",
)
HEADED = {
    "external": ("wf.task.run.headed-", "wf.task.resume.headed-", "wf.rpc.query.runs"),
    "scheduler": ("wf.task.step.headed.x.", "wf.task.approval.headed.x", "wf.control.cancel.h", "wf.event.run.h"),
    "gateway": ("wf.rpc.inbox.list",),
    "agent-runner": ("wf.rpc.step.claim",),
}


async def test_requests_that_make_no_sense_are_refused_never_failed_on(unshaken: System) -> None:
    """Broken bytes, unknown contracts and content types, and whole messages with every extreme value."""
    chance = random.Random(SEED)
    failed: list[str] = []
    async with Hands(unshaken) as hands:
        for exchange in REQUESTS:
            for body, headers in _requests(chance, exchange):
                answer = await hands.ask(exchange.senders[0], exchange.subject, body, headers)
                if status_of(answer) in {500, 503}:
                    failed.append(f"{exchange.subject} {body[:200]!r}: {answer.data[:200]!r}")
            answer = await hands.ask(exchange.senders[0], exchange.subject, b"{}", FUTURE)
            assert (status_of(answer), msgspec.json.decode(answer.data)["errors"][0]["code"]) == (
                400,
                "contract_version",
            ), exchange.subject
    assert not failed, "\n".join(failed)


async def test_what_other_systems_publish_in_vain_is_kept_counted_and_listed(unshaken: System) -> None:
    store(unshaken, "taken", inject("end", {}))
    ended = unshaken.finish(unshaken.start_run("taken"))["id"]
    good = b'{"workflowId": "taken"}'
    bodies = {
        "broken-run": ("wf.task.run.broken-run", b"\xc1\x00", None),
        "cut-run": ("wf.task.run.cut-run", b'{"workflowId": "ta', JSON),
        "future-run": ("wf.task.run.future-run", good, FUTURE),
        "type-run": ("wf.task.run.type-run", good, {"content-type": "image/png"}),
        "digits-run": ("wf.task.run.digits-run", b'{"workflowId": "taken", "input": {"x": ' + b"9" * 99 + b"}}", JSON),
        "no-workflow": ("wf.task.run.no-workflow", b'{"workflowId": "no-such"}', JSON),
        "no-such-run": ("wf.task.resume.no-such-run", b'{"name": "go"}', JSON),
        "undecided": ("wf.task.resume.undecided", b'{"approvalId": "a", "decision": "perhaps"}', JSON),
        ended: (f"wf.task.resume.{ended}", b'{"name": "go"}', JSON),
    }
    before = len(check(unshaken.sqlite, 1).dead_letters)
    async with Hands(unshaken) as hands:
        client = await hands.of("external")
        for subject, body, headers in bodies.values():
            await client.publish(subject, body, headers=headers)
        await client.publish("wf.task.run.behind-them", good, headers=JSON)
        await client.flush()
    unshaken.wait_run("behind-them")
    unshaken.finish("behind-them")
    wanted = before + len(bodies)
    letters = await eventually(lambda: _at_least(wanted, check(unshaken.sqlite, 1).dead_letters))
    assert {subject for subject, _, _ in bodies.values()} <= {letter.subject for letter in letters}
    reasons = {letter.subject: letter.detail for letter in letters}
    assert "contract version '99'" in reasons["wf.task.run.future-run"]
    assert "no-such" in reasons["wf.task.run.no-workflow"]
    assert _listed_by_the_doctor(unshaken) == wanted
    assert figure(unshaken, "scheduler", "intake_total", 'outcome="set_aside"') >= len(bodies)


async def test_garbage_in_the_place_of_a_task_costs_its_step_nothing_but_time(unshaken: System) -> None:
    """It keeps the real task out of the stream; the runner sets it aside, and the step is handed out again."""
    store(unshaken, "blocked", wait_signal("hold", "go", next="work"), agent("work", "ok"))
    probe = unshaken.start_run("blocked")
    ok(unshaken.signal(probe, "go"))
    unshaken.finish(probe)
    run_id = unshaken.start_run("blocked")
    unshaken.wait_status(run_id, "WAITING_SIGNAL")
    async with Hands(unshaken) as hands:
        client = await hands.of("scheduler")
        with frozen(unshaken, "agent-runner", "approval-service"):
            await client.publish(f"wf.task.step.{run_id}.{_work_of(run_id)}.1", b"\xc1garbage")
            for place in ("step.no-run.no-step.1", "approval.no-run.no-step"):
                await client.publish(f"wf.task.{place}", b"\x00\x01", headers=JSON)
            for place, kind in (("step.no-text.no-step.1", "StepTask"), ("approval.no-text.no-step", "ApprovalTask")):
                await client.publish(f"wf.task.{place}", no_text(msgspec.msgpack.encode(example(kind))))
            for place in ("step.future.no-step.1", "approval.future.no-step"):
                await client.publish(f"wf.task.{place}", b"{}", headers=FUTURE)
            await client.flush()
            ok(unshaken.signal(run_id, "go"))
            unshaken.wait_event(run_id, "signal_consumed")
    assert unshaken.finish(run_id)["status"] == "COMPLETED"
    assert figure(unshaken, "agent-runner", "runner_tasks_undecodable_total") >= 4
    assert len(unshaken.records("agent-runner", "message_set_aside")) >= 4
    assert len(unshaken.records("approval-service", "message_set_aside")) >= 3
    kept = {letter.subject for letter in check(unshaken.sqlite, 1).dead_letters}
    assert f"wf.task.step.{run_id}.{_work_of(run_id)}.1" in kept
    async with Hands(unshaken) as hands:
        info = await (await hands.of("scheduler")).jetstream().stream_info("WORKFLOW_TASKS")
        assert info.state.messages == 0, "something is retried for ever"


async def test_headers_that_nobody_can_read_make_nobody_deaf(unshaken: System) -> None:
    """They belong to their message alone; the next one of the same connection is taken."""
    store(unshaken, "headed", agent("work", "ok"))
    before = _disconnections(unshaken)
    for user, subjects in HEADED.items():
        for subject in subjects:
            messages = [(f"{subject}{n}", headers, b"{}") for n, headers in enumerate(UNREADABLE)]
            if subject.startswith("wf.rpc."):
                messages = [(subject, headers, b"{}") for headers in UNREADABLE]
            send_raw(unshaken, user, messages)
    for name in SERVICES:
        answer = unshaken.readyz(name)
        assert answer is not None, name
        assert answer.status_code == 200, answer.text
    assert unshaken.finish(unshaken.start_run("headed"))["status"] == "COMPLETED"
    assert _disconnections(unshaken) == before
    headed = {f"wf.task.{kind}.headed-{n}" for kind in ("run", "resume") for n in range(len(UNREADABLE))}
    await eventually(lambda: headed <= {letter.subject for letter in check(unshaken.sqlite, 1).dead_letters})


async def test_garbage_among_events_and_commands_reaches_no_client(unshaken: System) -> None:
    """While a run is streamed and asks for a person: neither the stream nor the run takes notice."""
    store(unshaken, "listened", ask("ask", next="work"), agent("work", "ok"))
    run_id = unshaken.start_run("listened")
    asked = unshaken.wait_approval(run_id)
    chance = random.Random(SEED)
    stream = unshaken.follow(run_id, last_event_id=0)
    seen = [next(stream)]
    async with Hands(unshaken) as hands:
        client = await hands.of("scheduler")
        for exchange in (*EVENTS, *CONTROLS):
            subject = exchange.subject.format(runId=run_id, stepId=asked["stepId"], service="station-scheduler")
            whole = msgspec.json.encode(
                example(exchange.event_types[0] if exchange.event_types else exchange.body.__name__)
            )
            for body in broken(chance, whole)[:-1]:
                await client.publish(subject, body)
            await client.publish(subject, b"{}", headers=FUTURE)
        await client.flush()
    ok(unshaken.approve(run_id, asked["id"]))
    seen += list(stream)
    assert [frame.data["seq"] for frame in seen if frame.event != "snapshot"] == [
        event["seq"] for event in unshaken.events(run_id)
    ]
    assert unshaken.run(run_id)["status"] == "COMPLETED"


def _requests(chance: random.Random, exchange: Exchange) -> list[tuple[bytes, dict[str, str] | None]]:
    whole = msgspec.msgpack.encode(example(exchange.body.__name__))
    bad: list[tuple[bytes, dict[str, str] | None]] = [(body, None) for body in broken(chance, whole)]
    bad += [(no_text(whole), None)] if b"run_" in whole else []
    bad += [(b"{}", {"content-type": "text/plain"}), (whole, JSON), (b"{}", {**JSON, "traceparent": "00-zz"})]
    return bad + [(extreme_body(chance, exchange.body), None) for _ in range(25)]


def _work_of(run_id: str) -> str:
    return step_id(run_id, "work", (), None, 1)


def _disconnections(system: System) -> int:
    return sum(len(system.records(name, "bus_disconnected")) for name in SERVICES)


def _at_least(count: int, letters: tuple[Finding, ...]) -> tuple[Finding, ...]:
    return letters if len(letters) >= count else ()


def _listed_by_the_doctor(system: System) -> int:
    command = [sys.executable, "-m", "station.cli", "doctor", "--offline", "-o", "json"]
    environment = {**os.environ, "STATION_DATA_DIR": str(system.data_dir)}
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    return len(msgspec.json.decode(done.stdout)["report"]["deadLetters"])
