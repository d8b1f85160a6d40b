import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from station.agent_runner.backends.nats import NatsBackend
from station.agent_runner.backends.registry import Backends, all_backends
from station.agent_runner.catalog import load_catalog
from station.agent_runner.failures import AttemptFailed
from station.contracts.errors import ErrorType, StepError
from station.runtime.broker import inbox_prefix
from station.runtime.bus import Bus
from tests.support.agent_files import ENVIRONMENT, backend_of, call_of, load_agent, write_agent
from tests.support.backend_conformance import MAX_OUTPUT, BackendConformance
from tests.support.nats import NatsServer

WORKING = {"station-status": "working"}
TRACE = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
SECONDS = 20


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    connected = await Bus.connect(nats_server.url, name="test", inbox_prefix=inbox_prefix("agent-runner"))
    yield connected
    await connected.close()


@pytest.fixture
async def program(nats_server: NatsServer) -> AsyncIterator[Client]:
    """The connection of the program that is an agent."""
    client = await nats.connect(nats_server.url)
    yield client
    await client.close()


class TestConformance(BackendConformance):
    answers = "model: nats/agent.answers\n"
    answers_wrongly = "model: nats/agent.answers_wrongly\n"
    answers_text = "model: nats/agent.answers_text\n"
    fails = "model: nats/agent.fails\n"
    floods = "model: nats/agent.floods\n"
    hangs = "model: nats/agent.hangs\n"

    @pytest.fixture
    async def backends(self, bus: Bus, program: Client) -> Backends:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Programs for each way to answer."""
        answers: dict[str, Any] = {
            "answers": {"status": "ok"},
            "answers_wrongly": {"status": 7},
            "answers_text": "hello",
            "floods": "x" * (MAX_OUTPUT + 1),
        }

        async def serve(message: Msg) -> None:
            asked = message.subject.rpartition(".")[2]
            if asked == "fails":
                await program.publish(message.reply, b"it broke", headers={"station-error": "agent_error"})
            elif asked in answers:
                await message.respond(json.dumps(answers[asked]).encode())

        await subscribe(program, "agent.*", serve)
        return all_backends(bus=bus)


async def subscribe(program: Client, subject: str, work: Callable[[Msg], Awaitable[None]]) -> None:
    """Return when the broker knows. The ping of a flush overtakes what is still buffered; that of a second cannot."""
    await program.subscribe(subject, cb=work)
    await program.flush()
    await program.flush()


async def ask(tmp_path: Path, bus: Bus | None, task: str | None = None, **limits: Any) -> Any:
    """One call of an agent on ``agent.weather``; ``timeout_seconds`` is the step's."""
    backend = NatsBackend(bus, **limits)
    agent = await load_agent(tmp_path, "w", "---\nmodel: nats/agent.weather\n---\nGo {{task}}\n", Backends((backend,)))
    return (await backend_of(agent).run(call_of(agent, task))).value


async def failure(tmp_path: Path, bus: Bus | None, **limits: Any) -> StepError:
    with pytest.raises(AttemptFailed) as failed:
        await ask(tmp_path, bus, **limits)
    return failed.value.error


async def serve(program: Client, *replies: tuple[bytes, dict[str, str]]) -> "asyncio.Queue[Msg]":
    """Send these for each request; the requests."""
    asked: asyncio.Queue[Msg] = asyncio.Queue()

    async def work(message: Msg) -> None:
        for body, headers in replies:
            await program.publish(message.reply, body, headers=headers)
        asked.put_nowait(message)

    await subscribe(program, "agent.weather", work)
    return asked


async def cancels(program: Client) -> "asyncio.Queue[Msg]":
    told: asyncio.Queue[Msg] = asyncio.Queue()
    await subscribe(program, "agent.weather.cancel", told.put)
    return told


async def test_the_program_is_asked_what_a_local_one_reads(tmp_path: Path, bus: Bus, program: Client) -> None:
    asked = await serve(program, (b"17", {}))
    agent = await load_agent(
        tmp_path, "w", "---\nmodel: nats/agent.weather\n---\nGo {{task}} {{name}}\n", all_backends(bus=bus)
    )
    call = msgspec.structs.replace(call_of(agent, "look", {"name": "Ada"}), traceparent=TRACE)
    assert (await backend_of(agent).run(call)).value == 17
    message = asked.get_nowait()
    assert json.loads(message.data) == {
        "task": "look",
        "variables": {"name": "Ada"},
        "prompt": "Go look Ada",
        "agent": "w",
        "environment": ENVIRONMENT,
        "runId": "run_1",
        "stepId": "5" * 32,
        "attempt": 1,
        "idempotencyKey": f"run_1:{'5' * 32}:1",
    }
    assert message.headers == {"idempotency-key": call.idempotency_key, "traceparent": TRACE}


async def test_nobody_there_is_said_and_may_be_tried_again(tmp_path: Path, bus: Bus) -> None:
    error = await failure(tmp_path, bus)
    assert (error.type, error.retryable) == (ErrorType.AGENT_ERROR, True)
    assert error.message.startswith("no program answers on agent.weather")


async def test_without_a_connection_it_says_what_is_missing(tmp_path: Path) -> None:
    error = await failure(tmp_path, None)
    assert (error.type, error.retryable) == (ErrorType.AGENT_ERROR, False)
    assert "STATION_NATS_URL" in error.message


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("agent_error", b"no luck", ("agent_error", True, "no luck")),
        ("tool_error", b"no disk", ("tool_error", True, "no disk")),
        ("budget_exceeded", b"too dear", ("budget_exceeded", False, "too dear")),
        ("payload_too_large", b"", ("payload_too_large", False, "it gave no reason")),
        ("bad-weather", b"rain", ("agent_error", True, "rain (it calls this 'bad-weather')")),
    ],
)
async def test_an_error_is_the_programs_own(  # noqa: PLR0917 - what pytest gives
    tmp_path: Path, bus: Bus, program: Client, kind: str, body: bytes, told: tuple[str, bool, str]
) -> None:
    await serve(program, (body, {"Station-Error": kind}))
    error = await failure(tmp_path, bus)
    assert (error.type, error.retryable, error.message.partition(" failed: ")[2]) == told


@pytest.mark.parametrize("body", [b"", b"hello", b"[" * 5000])
async def test_what_is_no_json_is_an_error(tmp_path: Path, bus: Bus, program: Client, body: bytes) -> None:
    await serve(program, (body, {}))
    error = await failure(tmp_path, bus)
    assert (error.type, error.retryable) == (ErrorType.AGENT_ERROR, True)
    assert "did not answer JSON" in error.message


async def test_a_request_that_no_message_can_carry_is_refused(tmp_path: Path, bus: Bus) -> None:
    with pytest.raises(AttemptFailed) as failed:
        await ask(tmp_path, bus, "x" * bus.nc.max_payload)
    error = failed.value.error
    assert (error.type, error.retryable) == (ErrorType.PAYLOAD_TOO_LARGE, False)
    assert "the request to agent.weather" in error.message


async def test_signs_of_life_are_no_answer(tmp_path: Path, bus: Bus, program: Client) -> None:
    told = await cancels(program)
    await serve(program, (b"", WORKING), (b"half way", WORKING), (b'{"sky": "clear"}', {}))
    assert await ask(tmp_path, bus) == {"sky": "clear"}
    await program.flush()
    assert told.empty()


async def test_silence_after_a_sign_of_life_is_a_lost_program(tmp_path: Path, bus: Bus, program: Client) -> None:
    told = await cancels(program)
    await serve(program, (b"", WORKING))
    error = await failure(tmp_path, bus, silence=0.1)
    assert (error.type, error.retryable) == (ErrorType.AGENT_ERROR, True)
    assert "said nothing for 0.1 s" in error.message
    async with asyncio.timeout(SECONDS):
        assert json.loads((await told.get()).data) == {"idempotencyKey": f"run_1:{'5' * 32}:1"}


async def test_a_step_without_a_time_out_has_one_here(tmp_path: Path, bus: Bus, program: Client) -> None:
    told = await cancels(program)
    await serve(program)
    error = await failure(tmp_path, bus, longest=0.1)
    assert (error.type, error.retryable) == (ErrorType.TIMEOUT, True)
    assert "within 0.1 s" in error.message
    async with asyncio.timeout(SECONDS):
        await told.get()


async def test_a_program_is_told_when_it_is_cancelled(tmp_path: Path, bus: Bus, program: Client) -> None:
    asked, told = await serve(program), await cancels(program)
    working = asyncio.create_task(ask(tmp_path, bus))
    async with asyncio.timeout(SECONDS):
        message = await asked.get()
        working.cancel()
        stopped = await told.get()
    await asyncio.wait({working})
    assert working.cancelled()
    assert json.loads(stopped.data)["idempotencyKey"] == (message.headers or {})["idempotency-key"]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("nats", "'' is none"),
        ("nats/agent", "'agent' is none"),
        ("nats/wf.task.run.x", "'wf.task.run.x' is none"),
        ("nats/agent.>", "'agent.>' is none"),
        ("nats/agent.*.x", "'agent.*.x' is none"),
        ("nats/agent..x", "'agent..x' is none"),
        ("nats/agent.x.cancel", "ends in `.cancel`"),
    ],
)
async def test_subjects_elsewhere_are_refused_when_the_file_is_read(tmp_path: Path, model: str, words: str) -> None:
    write_agent(tmp_path, "a", f"---\nmodel: {model}\n---\n")
    (problem,) = (await load_catalog(tmp_path, all_backends())).problems
    assert problem.code == "agent_invalid"
    assert words in problem.message
