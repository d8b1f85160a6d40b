"""Spans in the words of OpenTelemetry's conventions for generative AI, below the span of the attempt."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping
from typing import Any

import msgspec
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from station.runtime.telemetry import Telemetry, parent_context, parse_traceparent, traceparent

Redact = Callable[[Any], Any]
ATTRIBUTES: Mapping[str, str] = {
    "operation": "gen_ai.operation.name",
    "provider": "gen_ai.provider.name",
    "agent": "gen_ai.agent.name",
    "request_model": "gen_ai.request.model",
    "response_model": "gen_ai.response.model",
    "response_id": "gen_ai.response.id",
    "finish_reasons": "gen_ai.response.finish_reasons",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "tool": "gen_ai.tool.name",
    "tool_call_id": "gen_ai.tool.call.id",
    "arguments": "gen_ai.tool.call.arguments",
    "result": "gen_ai.tool.call.result",
    "input_messages": "gen_ai.input.messages",
    "output_messages": "gen_ai.output.messages",
}


class Open:
    """A span that is under way, or the lack of one."""

    def __init__(self, span: Span | None, inside: str | None, tell: Redact | None) -> None:
        self._span = span
        self._tell = tell
        self.inside = inside
        """The traceparent of what happens in it."""

    def note(self, **facts: Any) -> None:
        """Add facts, by the short names of `ATTRIBUTES`; None is left out."""
        if self._span is not None:
            for name, value in facts.items():
                if value is not None:
                    self._span.set_attribute(ATTRIBUTES[name], value)

    def content(self, **texts: Any) -> None:
        """Add what was said, as JSON: only where a setting asks for it, and with secrets struck out."""
        if self._span is not None and self._tell is not None:
            for name, value in texts.items():
                self._span.set_attribute(ATTRIBUTES[name], _json(self._tell(_plain(value))))


class Spans:
    """Makes spans, where traces go anywhere at all."""

    def __init__(self, telemetry: Telemetry, tell: Redact | None = None) -> None:
        """``tell`` strikes secrets out of prompts and answers; None: they stay out of spans."""
        self._telemetry = telemetry
        self._tell = tell

    @contextlib.contextmanager
    def open(self, name: str, parent: str | None, kind: SpanKind, **facts: Any) -> Generator[Open]:
        """A span around what is done meanwhile, inside the one with the traceparent ``parent``."""
        above = parse_traceparent(parent) if parent else None
        if not self._telemetry.enabled or above is None:
            yield Open(None, parent, None)
            return
        span = self._telemetry.tracer.start_span(name, context=parent_context(*above), kind=kind)
        context = span.get_span_context()
        opened = Open(span, traceparent(context.trace_id, context.span_id), self._tell)
        opened.note(**facts)
        try:
            yield opened
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            span.set_attribute("error.type", type(error).__name__)
            raise
        finally:
            span.end()


def _plain(value: Any) -> Any:
    """As JSON has it; what JSON does not have becomes text."""
    return msgspec.json.decode(msgspec.json.encode(value, enc_hook=str))


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
