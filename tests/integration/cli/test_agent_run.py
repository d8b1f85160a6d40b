"""`stn agent run`: one agent by itself, as real processes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nats
import psutil
import pytest
from nats.aio.msg import Msg

from tests.support.agent_files import write_agent
from tests.support.nats import NatsServer, nats_server  # noqa: F401

Stn = Callable[..., "subprocess.CompletedProcess[str]"]
SCHEMAS = """
input: {schema: {type: object, properties: {n: {type: integer}}, required: [n]}}
output: {schema: {type: object, properties: {ok: {type: boolean}}, required: [ok]}}
"""
ECHO = "import json, sys; asked = json.load(sys.stdin); print('half way', file=sys.stderr); print(json.dumps(asked))"
TREE = """
import json, os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(json.load(sys.stdin)["variables"]["pipe"], "w") as pipe:
    json.dump([os.getpid(), child.pid], pipe)
time.sleep(600)
"""


def program(code: str) -> str:
    return f"---\nmodel: exec\nexec: {{command: {json.dumps([sys.executable, '-IS', '-c', code])}}}\n---\nDo it.\n"


@pytest.fixture
def environments(tmp_path: Path) -> Path:
    """The folder of an environment with agents that answer, fail and hang."""
    root = tmp_path / "environments"
    for name, text in (
        ("ok", f"---\nmodel: scripted\nscripted: [{{answer: {{ok: true}}}}]\n{SCHEMAS}---\n"),
        ("lies", f"---\nmodel: scripted\nscripted: [{{answer: {{ok: 7}}}}]\n{SCHEMAS}---\n"),
        ("echo", program(ECHO)),
        ("tree", program(TREE)),
        ("remote", "---\nmodel: nats/agent.remote\n---\n"),
        ("odd", "---\nmodel: scripted\nscripted: [{answer: 1}]\ncolour: red\n---\n"),
        ("broken", "---\nmodel: scripted\n---\n"),
    ):
        write_agent(root, name, text)
    return root


def command(root: Path, *arguments: str) -> list[str]:
    where = ["--environments-dir", str(root), "-e", "test"]
    return [sys.executable, "-m", "station.cli", "agent", "run", *arguments, *where]


def run_stn(root: Path, *arguments: str, stdin: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
    """The command, to its end."""
    return subprocess.run(
        command(root, *arguments),
        input=stdin,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def stn(environments: Path) -> Stn:
    """Run it to its end."""

    return partial(run_stn, environments)


def test_the_result_is_json_on_stdout_and_everything_else_on_stderr(stn: Stn) -> None:
    done = stn("ok", "-i", "n=3")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"ok": True})
    assert "scripted: " in done.stderr


def test_a_program_is_asked_as_in_a_workflow_and_heard_while_it_works(stn: Stn) -> None:
    done = stn("echo", "--task", "look", "--input", "-", "-i", "b=x", stdin='{"a": 1}')
    assert done.returncode == 0, done.stderr
    asked = json.loads(done.stdout)
    assert (asked["task"], asked["variables"], asked["prompt"]) == ("look", {"a": 1, "b": "x"}, "Do it.")
    assert asked["idempotencyKey"] == f"{asked['runId']}:{asked['stepId']}:1"
    assert "half way" in done.stderr


def test_for_programs_the_outcome_is_one_document(stn: Stn) -> None:
    done = stn("ok", "-i", "n=3", "-o", "json")
    outcome: dict[str, Any] = json.loads(done.stdout)
    assert (outcome["output"], outcome["error"], outcome["cancelled"]) == ({"ok": True}, None, False)
    assert (outcome["agent"]["name"], outcome["agent"]["model"]) == ("ok", "scripted")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ok", "-i", "n=x"), "validation: the variables for agent 'ok' break its input schema: /n"),
        (("lies", "-i", "n=1"), "validation: the answer of agent 'lies' breaks its output schema: /ok"),
        (("nobody",), "agent_error: there is no agent 'nobody' in environment 'test' (agents there: echo, "),
        (("broken",), "model scripted needs a list under `scripted`"),
        (("remote",), "set STATION_NATS_URL to the broker's address"),
        (("tree", "-i", "pipe=/dev/null", "--timeout", "0.5"), "timeout: agent 'tree' did not answer within 0.5 s"),
    ],
)
def test_a_failure_is_told_with_its_reason(stn: Stn, arguments: tuple[str, ...], words: str) -> None:
    done = stn(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr


def test_problems_of_its_file_are_told_and_those_of_others_are_not(stn: Stn) -> None:
    odd = stn("odd")
    assert (odd.returncode, json.loads(odd.stdout)) == (0, 1)
    assert "`colour` is not read by anything" in odd.stderr
    assert "broken" not in odd.stderr


def test_a_setting_that_is_wrong_is_told(stn: Stn) -> None:
    done = stn("ok", "-i", "n=3", STATION_MAX_OUTPUT_BYTES="none")
    assert done.returncode == 1
    assert "STATION_MAX_OUTPUT_BYTES" in done.stderr
    assert "ended with code 2 and no result" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_agents_processes_end_with_the_command(environments: Path, tmp_path: Path, number: signal.Signals) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    arguments = command(environments, "tree", "-i", f"pipe={pipe}")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        family = [psutil.Process(pid) for pid in json.loads(pipe.read_text())]
        runner = psutil.Process(running.pid).children()
        running.send_signal(number)
        code = running.wait(60)
        _, alive = psutil.wait_procs([*family, *runner], timeout=20)
    assert alive == []
    assert code == (130 if number is signal.SIGINT else -signal.SIGKILL)


async def test_a_program_on_nats_is_asked_where_the_setting_says(stn: Stn, nats_server: NatsServer) -> None:  # noqa: F811
    client = await nats.connect(nats_server.url)

    async def answer(message: Msg) -> None:
        await message.respond(b'{"from": "far"}')

    await client.subscribe("agent.remote", cb=answer)
    await client.flush()
    await client.flush()
    done = await asyncio.to_thread(stn, "remote", STATION_NATS_URL=nats_server.url)
    await client.close()
    assert (done.returncode, json.loads(done.stdout)) == (0, {"from": "far"}), done.stderr


def test_a_broker_that_is_not_there_is_said(stn: Stn) -> None:
    done = stn("remote", STATION_NATS_URL="nats://user:secret@127.0.0.1:1")
    assert done.returncode == 1
    assert "no broker takes our connection at nats://user:***@127.0.0.1:1 within 5 s" in done.stderr
