"""What an attempt tells: in order, in few messages, within limits, without secrets, and nobody waits for it."""

import asyncio
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from station.agent_runner import progress
from station.agent_runner.backends.registry import all_backends
from station.agent_runner.catalog import load_catalog
from station.agent_runner.executors.agent_run import AgentRun
from station.agent_runner.progress import Broadcast, Broadcaster
from station.agent_runner.redaction import STRUCK, Redactor
from station.contracts import subjects
from station.contracts.progress import AgentProgress
from station.contracts.usage import Usage
from station.runtime.bus import Bus, Unavailable
from tests.support.agent_files import found_in, write_agent
from tests.support.backend_conformance import held_for
from tests.unit.agent_runner.test_exec_backend import program

SECRET = "hunter2-hunter2"


class Wire:
    """Stands where the connection is: what is sent, and whether it can be."""

    def __init__(self) -> None:
        self.connected = True
        self.fails = False
        self.sent: list[AgentProgress] = []
        self.arrived = asyncio.Event()

    async def publish(self, subject: str, message: bytes) -> None:
        if self.fails:
            raise Unavailable("gone")
        assert subject == subjects.progress("run_1")
        self.sent.append(msgspec.json.decode(message, type=AgentProgress))
        self.arrived.set()


class Told:
    """A voice, and what was heard of it."""

    def __init__(self, *, quiet: bool = False, known: tuple[str, ...] = ()) -> None:
        self.wire = Wire()
        self.sender = Broadcaster(cast("Bus", self.wire), Redactor(known))
        self.voice: Broadcast = self.sender.voice(held_for("me"), "me", quiet=quiet)

    async def heard(self) -> list[AgentProgress]:
        """All that was sent so far."""
        await self.sender.close()
        return self.wire.sent

    async def kinds(self) -> list[str]:
        return [message.kind for message in await self.heard()]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts wait until something else is said."""
    monkeypatch.setattr(progress, "TEXT_SECONDS", 3600)


@pytest.mark.usefixtures("patient")
async def test_everything_is_told_in_order_and_numbered() -> None:
    told = Told()
    told.voice.say("started", agent="me")
    told.voice.say("text", agent="me", text="I look ")
    told.voice.say("text", agent="me", text="around.")
    told.voice.say("tool_call", agent="me", tool="k8s__pods", call_id="1", arguments={"ns": "a"})
    told.voice.say("tool_result", agent="me", tool="k8s__pods", call_id="1", result=["pod"])
    told.voice.say("usage", agent="me", usage=Usage(requests=1))
    told.voice.say("finished", agent="me")
    heard = await told.heard()
    assert [(message.number, message.kind) for message in heard] == [
        (1, "started"), (2, "text"), (3, "tool_call"), (4, "tool_result"), (5, "usage"), (6, "finished"),
    ]  # fmt: skip
    assert heard[1].text == "I look around."
    assert (heard[2].arguments, heard[3].result, heard[4].usage) == ({"ns": "a"}, ["pod"], Usage(requests=1))
    assert {(message.run_id, message.step_id, message.attempt) for message in heard} == {("run_1", "5" * 32, 1)}


async def test_a_text_goes_out_by_itself_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "TEXT_SECONDS", 0.01)
    told = Told()
    for piece in ("a", "b", "c"):
        told.voice.say("text", agent="me", text=piece)
    async with asyncio.timeout(10):
        await told.wire.arrived.wait()
    assert [message.text for message in await told.heard()] == ["abc"]


@pytest.mark.usefixtures("patient")
async def test_much_text_does_not_wait_and_two_speakers_are_not_mixed() -> None:
    told = Told()
    for _ in range(progress.TEXT_CHARACTERS + 1):
        told.voice.say("text", agent="me", text="x")
    assert [len(message.text or "") for message in await told.heard()] == [progress.TEXT_CHARACTERS]
    told.voice.say("text", agent="child", text="y")
    told.voice.say("finished", agent="me")
    assert [(m.agent, m.text) for m in (await told.heard())[1:]] == [("me", "x"), ("child", "y"), ("me", None)]


@pytest.mark.usefixtures("patient")
async def test_a_long_text_is_told_in_pieces_and_a_long_value_is_cut() -> None:
    told = Told()
    told.voice.say("text", agent="me", text="ü" * 20_000)
    told.voice.say("tool_result", agent="me", tool="t", result={"rows": ["é" * 10_000]})
    told.voice.say("finished", agent="me")
    heard = await told.heard()
    assert "".join(message.text or "" for message in heard if message.kind == "text") == "ü" * 20_000
    assert all(len((message.text or "").encode()) <= progress.FIELD_BYTES for message in heard)
    result = next(message for message in heard if message.kind == "tool_result")
    assert (result.truncated, result.result[:9]) == (True, '{"rows":[')
    assert progress.FIELD_BYTES - 2 <= len(result.result.encode()) <= progress.FIELD_BYTES


@pytest.mark.parametrize(("size", "most"), [(1, progress.MOST_MESSAGES), (8000, progress.MOST_BYTES // 8000 + 1)])
async def test_an_attempt_that_never_stops_talking_is_cut_off_once(size: int, most: int) -> None:
    told = Told()
    for number in range(3000):
        told.voice.say("tool_call", agent="me", tool="t", arguments="x" * size, call_id=str(number))
        await told.sender.close()
    told.voice.say("finished", agent="me")
    heard = await told.heard()
    assert len(heard) <= most
    assert [message.number for message in heard] == list(range(1, len(heard) + 1))
    assert (heard[-1].kind, heard[-1].text, heard[-1].truncated) == ("text", None, True)
    assert not any(message.truncated for message in heard[:-1])


@pytest.mark.usefixtures("patient")
async def test_secrets_are_struck_out_before_anything_is_cut_or_told() -> None:
    told = Told(known=(SECRET,))
    for piece in SECRET:
        told.voice.say("text", agent="me", text=piece)
    told.voice.say("text", agent="me", text="x" * (progress.TEXT_CHARACTERS - len(SECRET) - 5) + SECRET[:5])
    told.voice.say("text", agent="me", text=SECRET[5:] + " and so on")
    filled = "x" * (progress.FIELD_BYTES - 8) + SECRET
    told.voice.say("tool_call", agent="me", tool="t", arguments={"password": "p", "filled": filled})
    told.voice.say("tool_result", agent="me", tool="t", result=f"it is {SECRET}")
    told.voice.say("finished", agent="me", text=f"no {SECRET}", is_error=True)
    heard = await told.heard()
    assert "hunter2" not in msgspec.json.encode(heard).decode()
    text = "".join(message.text or "" for message in heard if message.kind == "text")
    assert text.count(STRUCK) == 2
    assert text.endswith(f"x{STRUCK} and so on")
    assert heard[-1].text == f"no {STRUCK}"


async def test_who_says_nothing_is_not_told_of() -> None:
    told = Told(quiet=True)
    told.voice.say("started", agent="me")
    told.voice.say("finished", agent="me", text="it broke", is_error=True)
    assert await told.heard() == []
    told = Told(quiet=True)
    told.voice.say("started", agent="me")
    told.voice.say("tool_call", agent="me", tool="t")
    told.voice.say("finished", agent="me")
    assert await told.kinds() == ["started", "tool_call", "finished"]


async def test_beginning_and_end_are_told_once() -> None:
    told = Told()
    for kind in ("started", "started", "finished", "finished"):
        told.voice.say(kind, agent="me")
    told.voice.say("text", agent="me", text="too late")
    assert await told.kinds() == ["started", "finished"]


async def test_without_a_bus_nothing_is_told_and_nobody_waits() -> None:
    told = Told()
    told.wire.connected = False
    told.voice.say("tool_call", agent="me", tool="t")
    assert await told.heard() == []
    told.wire.connected, told.wire.fails = True, True
    told.voice.say("tool_call", agent="me", tool="t")
    told.voice.say("tool_call", agent="me", tool="t")
    assert await told.heard() == []
    told.wire.fails = False
    told.voice.say("tool_call", agent="me", tool="t")
    assert [message.number for message in await told.heard()] == [4], "the hole shows what is missing"


async def test_what_cannot_be_sent_fast_enough_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "BACKLOG", 3)
    told = Told()
    for _ in range(5):
        told.voice.say("tool_call", agent="me", tool="t")
    assert [message.number for message in await told.heard()] == [1, 2, 3]


@pytest.mark.parametrize("value", [object(), {"deep": {1, 2}}, {"n": 2**80}, "\ud800", float("nan"), [b"x", ...]])
async def test_whatever_a_tool_gives_can_be_told(value: Any) -> None:
    told = Told()
    told.voice.say("tool_result", agent="me", tool="t", result=value)
    told.voice.say("text", agent="me", text="\ud800")
    told.voice.say("finished", agent="me")
    assert (await told.kinds()) == ["tool_result", "text", "finished"]


@pytest.mark.usefixtures("patient")
async def test_a_program_is_heard_through_what_it_writes_to_stderr(tmp_path: Path) -> None:
    told = Told()
    executor = await _runs(tmp_path, "import sys; print('looking', file=sys.stderr, flush=True); print('found')", told)
    assert (await executor.execute(held_for("me"))).output == "found"
    assert [(message.kind, message.text) for message in await told.heard()] == [
        ("started", None), ("text", "looking\n"), ("finished", None),
    ]  # fmt: skip


async def test_a_failure_is_told(tmp_path: Path) -> None:
    told = Told()
    await (await _runs(tmp_path, "import sys; sys.exit('it broke')", told)).execute(held_for("me"))
    last = (await told.heard())[-1]
    assert (last.kind, last.is_error) == ("finished", True)
    assert "it broke" in (last.text or "")


async def test_a_stopped_attempt_is_told(tmp_path: Path) -> None:
    told = Told()
    executor = await _runs(tmp_path, "import time; time.sleep(3600)", told)
    working = asyncio.create_task(executor.execute(held_for("me")))
    async with asyncio.timeout(20):
        await told.wire.arrived.wait()
    working.cancel()
    await asyncio.wait({working})
    heard = [(message.kind, message.text) for message in await told.heard()]
    assert heard == [("started", None), ("finished", "stopped")]


async def _runs(root: Path, code: str, told: Told) -> AgentRun:
    write_agent(root, "me", f"---\n{program(code)}---\n")
    catalog = await load_catalog(root, all_backends())
    return AgentRun(found_in(catalog), max_output_bytes=1000, progress=told.sender.voice)
