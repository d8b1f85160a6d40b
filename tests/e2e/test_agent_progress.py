"""What agents say reaches whoever watches the run, in order, also after a runner was killed; secrets reach nobody."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.agents import Pipe
from tests.e2e.workflows import agent, store
from tests.support.driver import ok
from tests.support.event_stream import Frame
from tests.support.mcp_servers.house import ENVIRONMENT, program, write_servers
from tests.support.system import System

PROGRESS = "agent_progress"
_TALKS = """
import json, sys
request = json.load(sys.stdin)
print("looking", file=sys.stderr, flush=True)
with open(request["variables"]["pipe"]) as pipe:
    answer = pipe.read()
print("found", file=sys.stderr, flush=True)
print(answer)
"""
_LEAKS = """
import json, pathlib, sys
request = json.load(sys.stdin)
secret = pathlib.Path(request["variables"]["file"]).read_text()
for piece in ("it is ", secret[:9], secret[9:], "!"):
    print(piece, end="", file=sys.stderr, flush=True)
if request["task"] == "fail":
    sys.exit(f"cannot log in with {secret}")
print(json.dumps({"said": f"the secret is {secret}", "list": [secret], "password": "short", "n": 1}))
"""


def write_program(system: System, name: str, code: str) -> None:
    front = {"model": "exec", "exec": {"command": [sys.executable, "-c", code], "killAfterSeconds": 0.2}}
    system.write_agent(name, f"---\n{json.dumps(front)}\n---\nA program.\n")
    system.wait_agent(name)


def told(frames: list[Frame]) -> list[tuple[int, str, str | None]]:
    """Number, kind and text of what was said."""
    found = [frame for frame in frames if frame.event == PROGRESS]
    assert all(frame.id is None for frame in found)
    return [(frame.data["number"], frame.data["kind"], frame.data["text"]) for frame in found]


def until_said(frames: Iterator[Frame], text: str) -> list[Frame]:
    """The frames up to the one that says this."""
    seen: list[Frame] = []
    for frame in frames:
        seen.append(frame)
        if frame.event == PROGRESS and text in (frame.data["text"] or ""):
            return seen
    raise AssertionError(f"nobody said {text!r}: {seen}")


def seqs(frames: list[Frame]) -> list[int]:
    return [frame.data["seq"] for frame in frames if frame.event not in ("snapshot", PROGRESS)]


def test_a_program_is_heard_while_it_works(system: System, tmp_path: Path) -> None:
    write_program(system, "talks", _TALKS)
    store(system, "talking", agent("talk", "talks", variables={"pipe": str(Pipe(tmp_path))}))
    pipe = tmp_path / "pipe"
    run_id = system.start_run("talking")
    # The program may have begun before anybody watches; from here on everything is heard.
    stream = system.stream(run_id, last_event_id=0, progress=True)
    assert next(stream).event == "snapshot"
    pipe.write_text('{"done": true}')
    frames = list(stream)
    kinds = [kind for _, kind, _ in told(frames)]
    assert kinds[-2:] == ["text", "finished"]
    numbers = [number for number, _, _ in told(frames)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert "found" in (told(frames)[-2][2] or "")
    assert seqs(frames) == [event["seq"] for event in system.events(run_id)]
    assert frames[-1].event == "run_completed"


def test_the_stream_goes_on_when_the_runner_is_killed(system: System, tmp_path: Path) -> None:
    write_program(system, "talks-on", _TALKS)
    go = Pipe(tmp_path, "go")
    hold, talk = tmp_path / "hold", agent("talk", "talks-on", variables={"pipe": str(go)})
    store(system, "killed", agent("wait", "gate", variables={"pipe": str(Pipe(tmp_path, "hold"))}, next="talk"), talk)
    run_id = system.start_run("killed")
    stream = system.stream(run_id, last_event_id=0, progress=True)
    assert next(stream).event == "snapshot"
    hold.write_text("{}")
    before = until_said(stream, "looking")
    assert [entry for entry in told(before) if entry[0] == 1][-1][1] == "started"
    system.kill("agent-runner")
    system.start("agent-runner")
    between = until_said(stream, "looking")
    go.send({"done": True})
    frames = [*before, *between, *stream]
    assert told(between) == [(1, "started", None), (2, "text", "looking\n")], "the attempt is executed again"
    assert [(kind, text) for _, kind, text in told(frames)][-2:] == [("text", "found\n"), ("finished", None)]
    assert seqs(frames) == [event["seq"] for event in system.events(run_id)]
    assert system.finish(run_id)["status"] == "COMPLETED"


def test_calls_of_tools_are_told_with_arguments_and_results(system: System, tmp_path: Path) -> None:
    (system.environments / ENVIRONMENT / "variables.yml").write_text("PLACE_SECRET: a-hidden-place\n")
    write_servers(system.environments, "told.json", told=program(env={"PLACE": "${PLACE_SECRET}"}))
    calls = [{"tool": "told__add", "args": {"a": 1, "b": 2}}, {"tool": "told__environment", "args": {}}]
    system.write_scripted("calls", {"calls": calls, "answer": {"done": True}}, tools=["told__*"])
    system.wait_agent("calls")
    hold = Pipe(tmp_path)
    store(system, "calling", agent("hold", "gate", variables={"pipe": str(hold)}, next="call"), agent("call", "calls"))
    run_id = system.start_run("calling")
    stream = system.stream(run_id, last_event_id=0, progress=True)
    next(stream)
    hold.send({})
    frames = list(stream)
    said = [frame.data for frame in frames if frame.event == PROGRESS and frame.data["agent"] == "calls"]
    assert [one["number"] for one in said] == list(range(1, len(said) + 1))
    assert said[0]["kind"] == "started"
    assert said[-1]["kind"] == "finished"
    (add, sums), (look, found) = (
        [one for one in said if one["tool"] == tool] for tool in ("told__add", "told__environment")
    )
    assert (add["kind"], add["arguments"], sums["kind"], sums["result"]) == (
        "tool_call", {"a": 1, "b": 2}, "tool_result", {"sum": 3},
    )  # fmt: skip
    assert add["callId"] == sums["callId"] != look["callId"] == found["callId"]
    assert found["result"]["variables"]["PLACE"] == "[redacted]"
    assert "a-hidden-place" not in json.dumps([frame.data for frame in frames])
    (step,) = [step for step in system.steps(run_id) if step["stateName"] == "call"]
    assert step["usage"]["toolCalls"] == 2
    assert (step["agent"]["name"], len(step["agent"]["digest"])) == ("calls", 64)
    assert system.run(run_id)["usage"]["toolCalls"] == 2
    loaded = ok(system.api.get("/agents/calls", params={"environment": ENVIRONMENT}))
    assert (loaded["digest"], loaded["tools"], loaded["model"]) == (step["agent"]["digest"], ["told__*"], "scripted")


def test_a_secret_that_an_agent_says_is_in_no_row_event_log_or_frame(system: System, tmp_path: Path) -> None:
    secret = urlsplit(system.nats_url("agent-runner")).password
    assert secret is not None
    file = tmp_path / "secret"
    file.write_text(secret)
    write_program(system, "leaks", _LEAKS)
    given: dict[str, Any] = {"file": str(file)}
    hold = Pipe(tmp_path, "hold")
    store(
        system,
        "leaking",
        agent("hold", "gate", variables={"pipe": str(hold)}, next="tell"),
        agent("tell", "leaks", variables=given, next="fail"),
        agent("fail", "leaks", task="fail", variables=given),
    )
    run_id = system.start_run("leaking")
    stream = system.stream(run_id, last_event_id=0, progress=True)
    next(stream)
    hold.send({})
    frames = list(stream)
    steps = {step["stateName"]: step for step in system.steps(run_id)}
    assert steps["tell"]["output"] == {
        "said": "the secret is [redacted]", "list": ["[redacted]"], "password": "[redacted]", "n": 1,
    }  # fmt: skip
    assert "cannot log in with [redacted]" in steps["fail"]["error"]["message"]
    said = "".join(text or "" for _, kind, text in told(frames) if kind == "text")
    assert said.count("it is [redacted]!") == 2
    everything = json.dumps([frame.data for frame in frames]) + json.dumps(system.events(run_id)) + json.dumps(steps)
    everything += system.log_of("agent-runner") + system.log_of("scheduler") + system.log_of("gateway")
    assert secret not in everything
    own = {"credentials", "nats.conf"}  # where the password is kept, for those who need it
    kept = [path for path in system.data_dir.rglob("*") if path.is_file() and path.name not in own]
    assert any(path.name == "station.db" for path in kept)
    assert [path for path in kept if secret.encode() in path.read_bytes()] == []
