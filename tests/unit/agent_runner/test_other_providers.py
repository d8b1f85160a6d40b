"""Providers with a protocol of their own: what is sent, and what comes of what they answer."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from station.agent_runner.backends.registry import all_backends
from station.agent_runner.loop.equipment import Equipment, Pace
from station.agent_runner.loop.providers import Access, Providers
from tests.support.backend_conformance import held_for
from tests.support.openai_double import OpenAIDouble, Reply
from tests.support.stage import Stage

CLAUDE, GEMINI = "anthropic/claude-sonnet-4-6", "google/gemini-2.5-flash"
CONFIG = "config: {temperature: 0.3, topK: 5, maxOutputTokens: 77, stopSequences: [x]}"


def anthropic(text: str) -> list[bytes]:
    """A stream of Anthropic's messages, in pieces."""
    message = {"id": "m", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6", "content": []}
    usage = {"input_tokens": 10, "output_tokens": 1}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ]
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]


def google(text: str) -> list[bytes]:
    """A stream of Gemini's contents, in pieces."""
    content = {"parts": [{"text": text}], "role": "model"}
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
    events: list[dict[str, Any]] = [
        {"candidates": [{"content": content, "index": 0}], "modelVersion": "gemini-2.5-flash"},
        {"candidates": [{"finishReason": "STOP", "index": 0}], "usageMetadata": usage},
    ]
    return [f"data: {json.dumps(event)}\r\n\r\n".encode() for event in events]


@pytest.fixture
async def stage(tmp_path: Path, double: OpenAIDouble) -> AsyncGenerator[Stage]:
    access = Access(api_key="the-key", base_url=double.url.removesuffix("/v1"))
    backends = all_backends(
        providers=Providers(anthropic=access, google=access, ollama=access),
        equipment=Equipment(pace=Pace(first_pause=0.001)),
    )
    yield Stage(tmp_path, backends)
    await backends.close()


async def test_anthropic_is_asked_in_its_own_words(stage: Stage, double: OpenAIDouble) -> None:
    double.script(Reply(raw=b"".join(anthropic("hello"))))
    held = held_for("subject")
    assert (await stage.play(f"model: {CLAUDE}\n{CONFIG}", held)).output == "hello"
    (request,) = double.requests
    assert request.path == "/v1/messages"
    assert request.headers["authorization"] == "Bearer the-key"
    names = ("model", "max_tokens", "temperature", "top_k", "stop_sequences")
    assert [request.body[name] for name in names] == ["claude-sonnet-4-6", 77, 0.3, 5, ["x"]]
    assert held.meter.usage is not None
    assert (held.meter.usage.input_tokens, held.meter.usage.output_tokens) == (10, 5)
    assert held.meter.usage.cost_usd == pytest.approx(10 * 3e-6 + 5 * 15e-6)


async def test_google_is_asked_in_its_own_words(stage: Stage, double: OpenAIDouble) -> None:
    double.script(Reply(raw=b"".join(google("hello"))))
    held = held_for("subject")
    assert (await stage.play(f"model: {GEMINI}\n{CONFIG}", held)).output == "hello"
    (request,) = double.requests
    assert request.path.startswith("/v1beta/models/gemini-2.5-flash:streamGenerateContent")
    assert request.headers["x-goog-api-key"] == "the-key"
    config = request.body["generationConfig"]
    assert (config["temperature"], config["topK"], config["maxOutputTokens"]) == (0.3, 5, 77)
    assert held.meter.usage is not None
    assert (held.meter.usage.input_tokens, held.meter.usage.output_tokens) == (10, 5)


@pytest.mark.parametrize(("model", "pieces"), [(CLAUDE, anthropic("half")[:-2]), (GEMINI, google("half")[:-1])])
async def test_half_an_answer_is_none(stage: Stage, double: OpenAIDouble, model: str, pieces: list[bytes]) -> None:
    double.otherwise = lambda _: Reply(raw=b"".join(pieces))
    outcome = await stage.play(f"model: {model}")
    assert outcome.error is not None
    assert outcome.error.retryable
    assert model in outcome.error.message
    assert len(double.requests) == 5


@pytest.mark.parametrize("model", [CLAUDE, GEMINI])
@pytest.mark.parametrize(
    ("status", "requests", "said"), [(401, 1, "_API_KEY"), (529, 5, "5 times"), (400, 1, "look at `model`")]
)
async def test_refusals_are_told_as_those_of_others(
    stage: Stage, double: OpenAIDouble, *, model: str, status: int, requests: int, said: str
) -> None:
    double.otherwise = lambda _: Reply(status=status, error={"message": "it says no", "code": status, "status": "NO"})
    outcome = await stage.play(f"model: {model}")
    assert outcome.error is not None
    assert outcome.error.retryable == (requests > 1)
    assert said in outcome.error.message
    assert "it says no" in outcome.error.message
    assert len(double.requests) == requests


@pytest.mark.parametrize("model", [CLAUDE, GEMINI, "ollama/qwen3"])
@pytest.mark.parametrize(
    "raw",
    [b"<html>a proxy speaks</html>", b'data: {"no": "completion"}\n\n', b"data: {not json\n\n", b"data: 7\n\n", b""],
)
async def test_what_cannot_be_read_is_asked_for_once_more(
    stage: Stage, double: OpenAIDouble, model: str, raw: bytes
) -> None:
    double.otherwise = lambda _: Reply(raw=raw)
    outcome = await stage.play(f"model: {model}")
    assert outcome.error is not None
    assert outcome.error.retryable
    assert f"what {model} sent cannot be read, 2 times" in outcome.error.message
    assert len(double.requests) == 2


@pytest.mark.parametrize(("model", "pieces"), [(CLAUDE, anthropic("half")), (GEMINI, google("half"))])
async def test_a_connection_that_breaks_off_may_pass(
    stage: Stage, double: OpenAIDouble, model: str, pieces: list[bytes]
) -> None:
    content = b"".join(pieces[:-1])
    double.otherwise = lambda _: Reply(raw=content, headers={"Content-Length": str(len(content) + 9)}, cut=True)
    outcome = await stage.play(f"model: {model}")
    assert outcome.error is not None
    assert outcome.error.retryable
    assert len(double.requests) == 5
