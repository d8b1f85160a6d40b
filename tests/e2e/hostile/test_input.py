"""Bad documents, bodies and conditions over HTTP: each is refused with its place, and costs nobody else anything."""

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests import fuzz as fuzzing
from tests.e2e.workflows import agent, inject, parallel, store, switch
from tests.support.driver import ok
from tests.support.system import System

JSON = {"content-type": "application/json"}
YAML = {"content-type": "application/yaml"}
ODD: dict[str, Any] = {
    "": "empty",
    "a.b": "dotted",
    "a b": "spaced",
    'a["b"]': "quoted",
    "0": "a number",
    "$.x": "like a path",
    "ctx.y": "like another",
    "ключ": "letters of others",
    "😀": "a face",
    "\u0000\n": "control",
    "__proto__": {"polluted": True},
    "__class__": "python's",
    "k" * 10_000: "long",
}
DOCUMENTS = {
    "yaml_anchor": "a: &a [x]\nb: [*a, *a]\n",
    "duplicate_key": "id: a\nid: b\n",
    "document_too_deep": "[" * 5000,
    "yaml_tag": "id: !!python/object/apply:os.system [ls]\n",
    "bad_number": "id: w\nstates: [{name: a, type: inject, data: {x: .nan}}]\n",
    "key_not_text": "{" * 3 + "a: b, " * 30_000,
    "document_too_large": "a: " + "x" * 300_000,
    "bad_schema": 'id: w\ninputSchema: {pattern: "((((a{1,99}){1,99}){1,99}){1,99})"}\nstates: []\n',
}
BODIES = {
    "truncated": (b'{"workflowId": "odd', 400, "json_malformed"),
    "NaN": (b'{"workflowId": "odd", "input": {"x": NaN}}', 400, "json_malformed"),
    "infinite": (b'{"workflowId": "odd", "input": {"x": 1e999}}', 400, "json_malformed"),
    "half a character": (b'{"workflowId": "odd", "input": {"x": "\\ud800"}}', 400, "json_malformed"),
    "not UTF-8": (b'{"workflowId": "\xff"}', 400, "json_malformed"),
    "deep": (b'{"workflowId": "odd", "input": {"x": ' + b"[" * 9000 + b"]" * 9000 + b"}}", 400, "json_malformed"),
    "400 digits": (b'{"workflowId": "odd", "input": {"x": ' + b"9" * 400 + b"}}", 400, "body_invalid"),
    "10 MB": (b'{"workflowId": "odd", "input": {"x": "' + b"x" * 10_000_000 + b'"}}', 413, "body_too_large"),
    "a list": (b"[]", 400, "body_invalid"),
    "nothing": (b"", 400, "body_missing"),
}
# Each loads, and goes off when it is evaluated.
BOMBS = {
    "endless": "len([0 for a in range(1000000) for b in range(1000000)]) > 0",
    "never_polls": "max(range(2000000000)) > 0",
    "two_gigabytes": 'len("a"*2000000000) > 0',
    "two_billion": "len([0]*2000000000) > 0",
    "split": 'len(("a,"*100000000).split(",")) > 0',
    "grows": 'len("a".replace("", "b"*1000000).replace("b", "c"*100000)) > 0',
    "by_zero": "1 // 0 > 0",
    "unknown": "no_such_name",
}


def test_a_bad_document_is_refused_with_its_code(unshaken: System) -> None:
    for code, text in DOCUMENTS.items():
        answer = unshaken.api.post("/workflows", content=text, headers=YAML)
        assert answer.status_code == 400, (code, answer.text)
        assert code in {error["code"] for error in answer.json()["errors"]}, answer.text
    wrong = unshaken.api.post("/workflows", content="id: w", headers={"content-type": "text/html"})
    assert (wrong.status_code, wrong.json()["code"]) == (415, "content_type_unsupported")


def test_a_bad_body_is_refused_with_its_code(unshaken: System) -> None:
    store(unshaken, "odd", inject("end", {}))
    for what, (body, status, code) in BODIES.items():
        answer = unshaken.api.post("/workflow-runs", content=body, headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (what, answer.text)
    assert ok(unshaken.api.get("/workflow-runs", params={"workflowId": "odd"}))["total"] == 0


def test_a_body_that_breaks_off_starts_nothing(unshaken: System) -> None:
    store(unshaken, "broken-off", inject("end", {}))
    where = urlsplit(unshaken.url)
    head = f"POST /api/v1/workflow-runs HTTP/1.1\r\nhost: localhost\r\ncontent-type: {JSON['content-type']}\r\n"
    body = '{"workflowId": "broken-off"}'
    for sent in (f"{head}content-length: 999\r\n\r\n{body}", f"{head}transfer-encoding: chunked\r\n\r\n99\r\n{body}"):
        with socket.create_connection((str(where.hostname), where.port or 80), 5) as connection:
            connection.sendall(sent.encode())
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(10)
            assert not connection.recv(100).startswith(b"HTTP/1.1 2"), "it was taken"
    assert ok(unshaken.api.get("/workflow-runs", params={"workflowId": "broken-off"}))["total"] == 0


def test_odd_names_are_names_like_others(unshaken: System) -> None:
    """From the input through context, conditions and an agent to the output, unchanged; and they shadow nothing."""
    gate = switch("gate", {'value["__proto__"].polluted and value["a.b"] == "dotted"': "hear"}, dataPath="odd")
    whole = {"whole": "{{ odd }}", "one": '{{ odd["a.b"] }}', "two": '{{ odd["__proto__"].polluted }}'}
    store(unshaken, "odd-names", gate, agent("hear", "echo", variables=whole))
    run = unshaken.finish(unshaken.start_run("odd-names", {"odd": ODD, **ODD}))
    assert run["output"] == {"whole": ODD, "one": "dotted", "two": True}
    assert {name: run["context"][name] for name in ODD} == ODD
    assert run["input"]["odd"] == ODD


def test_every_bomb_costs_one_step_and_other_runs_go_on(unshaken: System) -> None:
    branches = {name: [switch("gate", {bomb: "end"}, "end"), inject("end", {})] for name, bomb in BOMBS.items()}
    fine = {"fine": [switch("gate", {'",".join(["a", "b"]) == "a,b"': "end"}), inject("end", {"x": 1})]}
    store(unshaken, "bombs", parallel("all", branches | fine, onError="after"), inject("after", {"went": "on"}))
    store(unshaken, "beside", switch("gate", {'"a".upper() == "A"': "end"}), inject("end", {}))
    bombs = unshaken.start_run("bombs")
    beside = [unshaken.start_run("beside") for _ in range(3)]
    for run_id in beside:
        unshaken.finish(run_id)
    unshaken.finish(bombs, timeout=60)
    error = unshaken.step(bombs, "all")["error"]
    assert {cause["where"]: cause["type"] for cause in error["causes"]} == dict.fromkeys(BOMBS, "expression")


def test_a_template_that_blows_up_costs_its_step(unshaken: System) -> None:
    """A short text that asks for a large value a thousand times, as one text or as many values."""
    for name, text in {"one-text": "{{ big }}" * 1000, "many-values": ["{{ big }}"] * 1000}.items():
        store(unshaken, name, agent("ask", "echo", variables={"v": text}))
        run = unshaken.finish(unshaken.start_run(name, {"big": "x" * 900_000}), "FAILED")
        assert run["error"]["type"] == "payload_too_large"
        assert "input of state 'ask'" in run["error"]["message"]


def test_a_hostile_pattern_judges_its_input_at_once(unshaken: System) -> None:
    schema = {"type": "object", "properties": {"x": {"pattern": "^(a+)+$"}}}
    store(unshaken, "pattern", inject("end", {}), inputSchema=schema)
    answer = unshaken.post_run("pattern", {"x": "a" * 50_000 + "!"})
    assert (answer.status_code, answer.json()["code"]) == (400, "input_invalid")
    assert unshaken.post_run("pattern", {"x": "a" * 50_000}).status_code == 201


@pytest.mark.timeout(120)
def test_requests_of_every_kind_get_documented_answers(unshaken: System, tmp_path: Any) -> None:
    """A few, with a fixed seed, in the suite; `just fuzz` sends as many as one likes."""
    fuzzing.prepare(unshaken)
    done = fuzzing.fuzz(
        unshaken, f"--seed={fuzzing.SEED}", "--max-examples=2", "--phases=fuzzing,stateful", folder=tmp_path
    )
    assert done.returncode == 0, done.stdout[-6000:]
