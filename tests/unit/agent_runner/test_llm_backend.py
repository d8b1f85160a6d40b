"""Agents of real models, against a server that speaks their protocol."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from station.agent_runner.backends.registry import Backends, all_backends
from station.agent_runner.catalog import load_catalog
from station.agent_runner.executors.agent_run import AgentRun
from station.agent_runner.loop.equipment import Equipment, Pace
from station.agent_runner.loop.providers import Access, Providers
from station.contracts.errors import ErrorType
from station.contracts.usage import Budget
from tests.support.agent_files import found_in, write_agent
from tests.support.backend_conformance import MAX_OUTPUT, BackendConformance, Play, execute, held_for
from tests.support.openai_double import OpenAIDouble, Received, Reply, refused
from tests.support.stage import Stage

STATUS = "output: {schema: {type: object, properties: {status: {type: string}}, required: [status]}}\n"
MODEL = "model: openai/gpt-4o\n"


class TestConformance(BackendConformance):
    answers = "model: openai/answers\n"
    answers_wrongly = "model: openai/wrong\n"
    answers_text = "model: openai/text\n"
    fails = "model: openai/broken\n"
    floods = "model: openai/floods\n"
    hangs = "model: openai/hangs\n"

    @pytest.fixture
    def backends(self, backends: Backends, double: OpenAIDouble) -> Backends:
        double.otherwise = _by_model
        return backends

    @pytest.fixture
    def play(self, root: Path, backends: Backends) -> Play:
        return partial(execute, root, backends=backends)


def _by_model(request: Received) -> Reply:
    return {
        "answers": Reply(value={"status": "ok"}),
        "wrong": Reply(value={"status": 7}),
        "text": Reply(text="hello"),
        "broken": refused(400, "it broke"),
        "floods": Reply(text="x" * (MAX_OUTPUT + 1)),
        "hangs": Reply(hang=True),
    }[request.body["model"]]


async def test_text_is_asked_for_and_answered(stage: Stage, double: OpenAIDouble) -> None:
    double.script(Reply(text="hello there"))
    held = held_for("subject")
    outcome = await stage.play(MODEL + "config: {temperature: 0.2, topP: 0.9, maxOutputTokens: 50, seed: 7}", held)
    assert (outcome.output, outcome.error, outcome.repeatable) == ("hello there", None, False)
    (request,) = double.requests
    assert request.path == "/v1/chat/completions"
    assert request.body["model"] == "gpt-4o"
    assert (request.body["temperature"], request.body["top_p"], request.body["seed"]) == (0.2, 0.9, 7)
    assert request.body["max_completion_tokens"] == 50
    assert request.roles == [("user", "Task: do it")]
    assert held.meter.usage is not None
    assert (held.meter.usage.requests, held.meter.usage.input_tokens, held.meter.usage.output_tokens) == (1, 11, 7)
    assert held.meter.usage.cost_usd == pytest.approx(11 * 2.5e-6 + 7 * 10e-6)
    assert stage.told.text("subject") == "hello there"
    assert stage.told.kinds == ["started", "text", "text", "text", "usage", "finished"]


async def test_roles_and_history_are_messages(stage: Stage, double: OpenAIDouble) -> None:
    body = '{{role "system"}}Be brief.{{history}}{{role "user"}}{{task}}'
    said = [{"role": "user", "text": "hi"}, {"role": "model", "text": "hello"}]
    outcome = await stage.play(MODEL, held_for("subject", variables={"history": said}), body)
    assert outcome.error is None
    assert double.requests[0].roles == [
        ("system", "Be brief."), ("user", "hi"), ("assistant", "hello"), ("user", "do it")
    ]  # fmt: skip


async def test_a_structured_answer_keeps_the_schema(stage: Stage, double: OpenAIDouble) -> None:
    double.script(Reply(value={"status": "ok"}))
    outcome = await stage.play(MODEL + STATUS)
    assert (outcome.output, outcome.error) == ({"status": "ok"}, None)
    assert double.requests[0].tools["final_result"]["required"] == ["status"]


async def test_json_as_text_is_a_structured_answer_too(stage: Stage, double: OpenAIDouble) -> None:
    double.script(Reply(text='Here you are:\n```json\n{"status": "ok"}\n```'))
    assert (await stage.play(MODEL + STATUS)).output == {"status": "ok"}
    assert len(double.requests) == 1


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ("{type: array, items: {type: integer}}", [1, 2]),
        ("{type: [string, 'null']}", None),
        ("{enum: [yes, no]}", True),
        ("{$ref: '#/$defs/n', $defs: {n: {type: object, properties: {n: {$ref: '#/$defs/n'}}}}}", {"n": {"n": {}}}),
        ("{type: object, properties: {n: {$ref: '#'}}, additionalProperties: false}", {"n": {}}),
        ("{anyOf: [{type: object, required: [a]}, {type: 'null'}]}", {"a": 1}),
        ("{type: object, properties: {value: {type: integer}}}", {"value": 3}),
    ],
)
@pytest.mark.parametrize("model", ["openai/x", "ollama/x"])
async def test_any_schema_can_be_asked_for(
    stage: Stage, double: OpenAIDouble, model: str, schema: str, value: Any
) -> None:
    def answer(request: Received) -> Reply:
        asked = request.body.get("response_format", {}).get("json_schema", {}).get("schema")
        asked = asked or request.tools["final_result"]
        boxed = set(asked["properties"]) == {"value"} and "required" in asked and value != {"value": 3}
        return Reply(value={"value": value} if boxed else value)

    double.otherwise = answer
    outcome = await stage.play(f"model: {model}\noutput: {{schema: {schema}}}\n")
    assert (outcome.output, outcome.error) == (value, None)
    assert ("response_format" in double.requests[0].body) == (model == "ollama/x")


async def test_a_wrong_answer_is_asked_for_again_with_what_was_wrong(stage: Stage, double: OpenAIDouble) -> None:
    double.script(Reply(value={"status": 7}), Reply(value={"status": "ok"}))
    held = held_for("subject")
    assert (await stage.play(MODEL + STATUS, held)).output == {"status": "ok"}
    assert "/status" in str(double.requests[1].body["messages"])
    assert held.meter.usage is not None
    assert held.meter.usage.requests == 2


@pytest.mark.parametrize(("retries", "requests"), [("", 3), ("retries: 0, ", 1), ("retries: 1, ", 2)])
async def test_an_answer_that_stays_wrong_fails_loudly(
    stage: Stage, double: OpenAIDouble, retries: str, requests: int
) -> None:
    double.otherwise = lambda _: Reply(value={"status": 7})
    outcome = await stage.play(MODEL + STATUS.replace("{schema", "{" + retries + "schema"))
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.retryable) == (ErrorType.VALIDATION, True)
    assert "/status" in outcome.error.message
    assert "{'status': 7}" in outcome.error.message
    assert len(double.requests) == requests


@pytest.mark.parametrize(
    "failing",
    [
        refused(429, "slow down", retry_after="0"),
        refused(503, "overloaded"),
        refused(529, "overloaded"),
        refused(500, "oops"),
        Reply(text="never to be seen whole", cut=True),
    ],
)
async def test_what_may_pass_is_tried_again(stage: Stage, double: OpenAIDouble, failing: Reply) -> None:
    double.script(failing, failing, Reply(text="hello"))
    held = held_for("subject")
    outcome = await stage.play(MODEL, held)
    assert (outcome.output, outcome.error) == ("hello", None)
    assert stage.told.kinds.count("retry") == 2
    assert held.meter.usage is not None
    assert held.meter.usage.requests == 1


async def test_five_tries_are_the_end(stage: Stage, double: OpenAIDouble) -> None:
    double.otherwise = lambda _: refused(503, "overloaded")
    outcome = await stage.play(MODEL)
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.retryable) == (ErrorType.AGENT_ERROR, True)
    assert "5 times" in outcome.error.message
    assert "HTTP 503: overloaded" in outcome.error.message
    assert len(double.requests) == 5


async def test_a_pause_that_is_too_long_is_not_waited_for(stage: Stage, double: OpenAIDouble) -> None:
    double.otherwise = lambda _: refused(429, "tomorrow", retry_after="86400")
    outcome = await stage.play(MODEL)
    assert outcome.error is not None
    assert outcome.error.retryable
    assert "tomorrow" in outcome.error.message
    assert len(double.requests) == 1


@pytest.mark.parametrize(
    ("failing", "said"),
    [
        (refused(401, "bad key"), "STATION_OPENAI_API_KEY"),
        (refused(403, "not yours"), "STATION_OPENAI_API_KEY"),
        (refused(404, "no such model", "model_not_found"), "STATION_OPENAI_BASE_URL"),
        (refused(400, "that is no request"), "look at `model`, `config`"),
        (refused(400, "too long", "context_length_exceeded"), "larger context"),
        (refused(429, "pay first", "insufficient_quota"), "used up"),
    ],
)
async def test_what_does_not_pass_is_said_at_once(
    stage: Stage, double: OpenAIDouble, failing: Reply, said: str
) -> None:
    double.otherwise = lambda _: failing
    outcome = await stage.play(MODEL)
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.retryable) == (ErrorType.AGENT_ERROR, False)
    assert said in outcome.error.message
    assert failing.error["message"] in outcome.error.message
    assert len(double.requests) == 1


HALF = b'data: {"choices": [{"index": 0, "delta": {"content": "half"}}]}\n\n'


@pytest.mark.parametrize(
    "raw",
    [
        b"<html>a proxy speaks</html>",
        b'{"no": "stream"}',
        b'data: {"no":"completion"}\n\n',
        b'data: {"no": "completion"}\n\ndata: [DONE]\n\n',
        b"data: {not json\n\n",
        HALF + b"data: {not json\n\n",
        b"data: [1, 2]\n\n",
        b"data: null\n\n",
        b'data: {"choices": [7]}\n\n',
        b"data: \xff\n\n",
        b"data: [DONE]\n\n",
        b"",
    ],
)
@pytest.mark.parametrize("schema", ["", STATUS])
async def test_what_cannot_be_read_is_asked_for_once_more(
    stage: Stage, double: OpenAIDouble, raw: bytes, schema: str
) -> None:
    double.otherwise = lambda _: Reply(raw=raw)
    outcome = await stage.play(MODEL + schema)
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.retryable) == (ErrorType.AGENT_ERROR, True)
    assert "what openai/gpt-4o sent cannot be read, 2 times" in outcome.error.message
    assert len(double.requests) == 2
    assert stage.told.kinds.count("retry") == 1


async def test_what_cannot_be_read_may_be_read_the_second_time(stage: Stage, double: OpenAIDouble) -> None:
    double.script(Reply(raw=b"<html>a proxy speaks</html>"))
    assert (await stage.play(MODEL)).output == "hello"


@pytest.mark.parametrize("raw", [HALF, HALF + b"data: [DONE]\n\n", b'data: {"error": {"message": "overloaded"}}\n\n'])
async def test_a_stream_that_breaks_off_may_pass(stage: Stage, double: OpenAIDouble, raw: bytes) -> None:
    double.otherwise = lambda _: Reply(raw=raw)
    outcome = await stage.play(MODEL)
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.retryable) == (ErrorType.AGENT_ERROR, True)
    assert "openai/gpt-4o did not answer, 5 times" in outcome.error.message
    assert len(double.requests) == 5


async def test_a_server_that_says_when_to_come_back_is_asked_then(stage: Stage, double: OpenAIDouble) -> None:
    double.script(refused(429, "slow down", retry_after="1"))
    assert (await stage.play(MODEL)).output == "hello"
    (said,) = [facts["text"] for kind, _, facts in stage.told.facts if kind == "retry"]
    assert said == "HTTP 429: slow down; again in 1.0 s"


async def test_an_empty_answer_is_no_garbage(stage: Stage, double: OpenAIDouble) -> None:
    double.otherwise = lambda _: Reply(text="")
    outcome = await stage.play(MODEL + STATUS)
    assert outcome.error is not None
    assert outcome.error.type is ErrorType.VALIDATION
    assert len(double.requests) == 3


async def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    providers = Providers(openai=Access(base_url="http://127.0.0.1:1/v1"))
    backends = all_backends(providers=providers, equipment=Equipment(pace=Pace(first_pause=0.001)))
    outcome = await Stage(tmp_path, backends).play(MODEL)
    await backends.close()
    assert outcome.error is not None
    assert outcome.error.retryable
    assert "STATION_OPENAI_BASE_URL" in outcome.error.message


async def test_a_silent_server_is_given_up(tmp_path: Path, double: OpenAIDouble) -> None:
    double.otherwise = lambda _: Reply(hang=True)
    providers = Providers(openai=Access(base_url=double.url), silence_seconds=0.2)
    backends = all_backends(providers=providers, equipment=Equipment(pace=Pace(tries=1)))
    outcome = await Stage(tmp_path, backends).play(MODEL)
    await backends.close()
    assert outcome.error is not None
    assert "STATION_MODEL_SILENCE_SECONDS" in outcome.error.message


async def test_without_key_and_address_nothing_is_sent(tmp_path: Path) -> None:
    backends = all_backends()
    write_agent(tmp_path, "subject", f"---\n{MODEL}---\nx\n")
    catalog = await load_catalog(tmp_path, backends)
    assert [(problem.code, problem.path) for problem in catalog.problems] == [
        ("model_not_configured", "test/agents/subject.prompt")
    ]
    assert "STATION_OPENAI_API_KEY" in str(catalog.problems[0].hint)
    outcome = await AgentRun(found_in(catalog), max_output_bytes=MAX_OUTPUT).execute(held_for("subject"))
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.retryable) == (ErrorType.AGENT_ERROR, False)
    assert "STATION_OPENAI_API_KEY" in outcome.error.message


async def test_a_cancelled_attempt_hangs_up(stage: Stage, double: OpenAIDouble) -> None:
    double.otherwise = lambda _: Reply(hang=True)
    working = asyncio.create_task(stage.play(MODEL))
    await double.arrived.wait()
    working.cancel()
    async with asyncio.timeout(20):
        await double.abandoned.wait()
    with pytest.raises(asyncio.CancelledError):
        await working


async def test_a_budget_stops_before_the_next_request(stage: Stage, double: OpenAIDouble) -> None:
    double.otherwise = lambda _: Reply(value={"status": 7}, tokens=(60, 41))
    outcome = await stage.play(MODEL + STATUS, held_for("subject", budget=Budget(max_tokens=100)))
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.retryable) == (ErrorType.BUDGET_EXCEEDED, False)
    assert len(double.requests) == 1


async def test_an_agent_that_goes_on_and_on_is_stopped(stage: Stage, double: OpenAIDouble) -> None:
    double.otherwise = lambda _: Reply(calls=(("nothing_like_that", {}),))
    outcome = await stage.play(MODEL + "max_steps: 3")
    assert outcome.error is not None
    assert outcome.error.type is ErrorType.AGENT_ERROR
    assert "did not finish within 3 requests" in outcome.error.message
    assert len(double.requests) == 3


@pytest.mark.parametrize(
    ("front_matter", "said"),
    [
        ("config: {temprature: 1}", "did you mean `temperature`"),
        ("config: {temperature: hot}", "`config.temperature`"),
        ("config: {max_tokens: 1, maxOutputTokens: 2}", "twice"),
        ("config: {topP: 2}", "`config.topP`"),
        ("output: {retries: many}", "`output.retries`"),
    ],
)
async def test_what_cannot_be_said_to_a_model_is_a_problem_of_the_file(
    tmp_path: Path, backends: Backends, front_matter: str, said: str
) -> None:
    write_agent(tmp_path, "a", f"---\n{MODEL}{front_matter}\n---\nx\n")
    catalog = await load_catalog(tmp_path, backends)
    assert not catalog.agents
    assert said in catalog.problems[0].message


async def test_a_slow_answer_is_an_answer(stage: Stage, double: OpenAIDouble) -> None:
    double.script(Reply(text="at last", delay=0.3))
    assert (await stage.play(MODEL, held_for("subject", timeout=30))).output == "at last"


async def test_a_picture_goes_along(stage: Stage, double: OpenAIDouble) -> None:
    picture = "data:image/png;base64,iVBORw0KGgo="
    held = held_for("subject", variables={"picture": picture})
    assert (await stage.play(MODEL, held, "Look: {{media url=picture}} What is it?")).output == "hello"
    (content,) = [content for role, content in double.requests[0].roles if role == "user"]
    assert [part["type"] for part in content] == ["text", "image_url", "text"]
    assert content[1]["image_url"]["url"] == picture


@pytest.mark.parametrize(
    ("body", "roles"),
    [
        ('{{role "system"}}Be brief.', [("system", "Be brief."), ("user", "do it")]),
        ('{{role "model"}}I am ready.', [("assistant", "I am ready."), ("user", "do it")]),
    ],
)
async def test_where_the_user_says_nothing_last_the_task_is_asked(
    stage: Stage, double: OpenAIDouble, body: str, roles: list[tuple[str, str]]
) -> None:
    await stage.play(MODEL, body=body)
    assert double.requests[0].roles == roles


async def test_with_no_task_either_the_instructions_are_the_question(stage: Stage, double: OpenAIDouble) -> None:
    await stage.play(MODEL, held_for("subject", task=None), '{{role "system"}}Tell a joke.')
    assert double.requests[0].roles == [("user", "Tell a joke.")]
