"""What one agent says to its model in one attempt: the one place that every request goes through.

The rule: nothing is sent before the meter has allowed it, and nothing that was answered goes uncounted.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict, deque
from time import monotonic
from typing import Any

import msgspec
from opentelemetry.trace import SpanKind
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
    ToolReturnPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from station.agent_runner.backends.protocol import AgentCall
from station.agent_runner.failures import AttemptFailed, agent_error, budget_exceeded, too_large
from station.agent_runner.loop.costs import cost_of, has_price
from station.agent_runner.loop.equipment import Equipment
from station.agent_runner.loop.faults import CutOff, Unreadable, asked_pause, failure, is_unreadable, most_tries, reason
from station.agent_runner.loop.outputs import Wanted
from station.agent_runner.loop.spans import Open
from station.agent_runner.outputs import json_in
from station.contracts.usage import Usage
from station.runtime.logging import get_logger

log = get_logger("talk")
DEFAULT_MAX_STEPS = 20


class Talk(WrapperModel):
    """A model that asks the meter first, tries again, tells what is said, and counts."""

    def __init__(
        self, wrapped: Model, call: AgentCall, wanted: Wanted, equipment: Equipment, traceparent: str | None
    ) -> None:
        super().__init__(wrapped)
        self._call = call
        self._wanted = wanted
        self._equipment = equipment
        self.traceparent = traceparent
        self._pace = equipment.pace
        self._model = call.agent.summary.model
        self.max_turns = call.agent.summary.max_steps or DEFAULT_MAX_STEPS
        self._turns = 0
        self._tool_calls = 0
        self._numbers: defaultdict[str, deque[int]] = defaultdict(deque)

    def number(self, tool_call_id: str | None) -> str:
        """Number a tool call: as the model said them, so that it is the same when the attempt is executed again."""
        numbers = self._numbers[tool_call_id or ""]
        if not numbers:
            self._tool_calls += 1
            numbers.append(self._tool_calls)
        return str(numbers.popleft())

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """One turn, however many tries it takes.

        Raises:
            AttemptFailed: a budget is used up, there were too many turns, or the model does not answer.
        """
        self._tell_refused(messages)
        self._turns += 1
        if self._turns > self.max_turns:
            agent = self._call.agent.name
            raise agent_error(
                f"agent {agent!r} did not finish within {self.max_turns} requests to its model; "
                f"raise `max_steps` in {self._call.agent.summary.source_file}, or give it less to do",
                retryable=False,
            )
        if self._turns == 1:
            self._look_for_a_price()
        began = monotonic()
        tried = 0
        while True:
            tried += 1
            await self._call.meter.before_call(tool=False)
            try:
                return await self._try(messages, model_settings, model_request_parameters)
            except AttemptFailed:
                raise
            except Exception as error:
                pause = self._pause(error, tried, monotonic() - began)
                if pause is None:
                    raise self._failed(error, tried) from error
                self._call.progress.say(
                    "retry", agent=self._call.agent.name, text=f"{reason(error)}; again in {pause:.1f} s"
                )
                await asyncio.sleep(pause)

    def _look_for_a_price(self) -> None:
        if self._call.meter.priced and not has_price(self.wrapped, self._model, self._equipment.prices):
            raise budget_exceeded(
                f"the price of {self._model} is not known, so that a budget with maxCostUsd could never stop it; "
                f'write its price into the file that STATION_PRICES_FILE names, as "{self._model}": '
                '{"inputPerMillion": …, "outputPerMillion": …}; nothing was sent'
            )

    def _tell_refused(self, messages: list[ModelMessage]) -> None:
        """Calls that were not made, of a tool that is not there or with arguments that are no object, are told, too."""
        if not messages or not isinstance(messages[-1], ModelRequest):
            return
        said = messages[-2].parts if len(messages) > 1 else ()
        agent = self._call.agent.name
        arguments = {part.tool_call_id: part.args for part in said if isinstance(part, ToolCallPart)}
        for part in messages[-1].parts:
            # Those that were made have used up their number.
            if isinstance(part, ToolReturnPart) and self._numbers.get(part.tool_call_id):
                facts = {"tool": part.tool_name, "call_id": self.number(part.tool_call_id)}
                given = arguments.get(part.tool_call_id)
                found, value = json_in(given) if isinstance(given, str) else (True, given)
                self._call.progress.say("tool_call", agent=agent, **facts, arguments=value if found else given)
                self._call.progress.say(
                    "tool_result", agent=agent, **facts, result=part.model_response_str(), is_error=True
                )

    async def _try(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        provider, _, name = self._model.partition("/")
        settings: dict[str, Any] = dict(model_settings or {})
        facts = {knob: settings.get(knob) for knob in ("temperature", "top_p", "top_k", "max_tokens", "seed")}
        with self._equipment.spans.open(
            f"chat {name or provider}",
            self.traceparent,
            SpanKind.CLIENT,
            operation="chat",
            provider=provider,
            request_model=name or provider,
            **facts,
        ) as span:
            span.content(input_messages=messages)
            response = await self._listen(messages, model_settings, model_request_parameters)
            self._count(response, span)
        response = self._structured(response, model_request_parameters)
        outputs = {tool.name for tool in model_request_parameters.output_tools}
        for part in response.parts:
            if isinstance(part, ToolCallPart) and part.tool_name not in outputs:
                self._tool_calls += 1
                self._numbers[part.tool_call_id].append(self._tool_calls)
        return response

    async def _listen(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        heard = False
        try:
            async with self.wrapped.request_stream(messages, model_settings, model_request_parameters) as stream:
                size = 0
                async for event in stream:
                    heard = True
                    size = self._hear(event, size)
                response = stream.get()
        except Exception as error:
            if isinstance(self.wrapped, FunctionModel) or not is_unreadable(error, heard=heard):
                raise
            raise Unreadable(reason(error)) from error
        if response.state == "incomplete" or not (_is_ended(response) or isinstance(self.wrapped, FunctionModel)):
            raise CutOff("the stream ended before the answer did") if heard else Unreadable("nothing came of an answer")
        return response

    def _hear(self, event: object, size: int) -> int:
        """Pass on what is said; the size of all that was said so far."""
        said = _said(event)
        if said is None:
            return size
        agent, limit = self._call.agent.name, self._call.max_output_bytes
        size += len(said)
        if size > limit:
            raise too_large(f"what the model of agent {agent!r} says", limit=limit)
        if said and _is_text(event):
            self._call.progress.say("text", agent=agent, text=said)
        return size

    def _count(self, response: ModelResponse, span: Open) -> None:
        used = response.usage
        cost = cost_of(response, self.wrapped, self._model, self._equipment.prices)
        meter = self._call.meter
        meter.add(Usage(requests=1, input_tokens=used.input_tokens, output_tokens=used.output_tokens, cost_usd=cost))
        self._call.progress.say("usage", agent=self._call.agent.name, usage=meter.usage)
        span.note(
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
            response_model=response.model_name,
            response_id=response.provider_response_id,
            finish_reasons=[response.finish_reason] if response.finish_reason else None,
        )
        span.content(output_messages=response)

    def _structured(self, response: ModelResponse, asked: ModelRequestParameters) -> ModelResponse:
        """A model that writes its JSON as text, where it was to call the output tool, has answered all the same."""
        if not self._wanted.structured or asked.allow_text_output or not asked.output_tools:
            return response
        if any(isinstance(part, ToolCallPart) for part in response.parts):
            return response
        found, value = json_in("".join(part.content for part in response.parts if isinstance(part, TextPart)))
        arguments = self._wanted.box(value) if found else None
        if arguments is None:
            return response
        response.parts = [ToolCallPart(asked.output_tools[0].name, msgspec.json.encode(arguments).decode())]
        return response

    def _pause(self, error: Exception, tried: int, elapsed: float) -> float | None:
        """Seconds until the next try; None if there is none."""
        if tried >= most_tries(error, self._pace.tries):
            return None
        asked = asked_pause(error)
        pause = self._pace.first_pause * 2 ** (tried - 1) * random.uniform(0.8, 1.2) if asked is None else asked  # noqa: S311 - spreads load, hides nothing
        return pause if elapsed + pause <= self._pace.seconds else None

    def _failed(self, error: Exception, tries: int) -> AttemptFailed:
        if isinstance(error, Unreadable):
            log.warning("model_answer_unreadable", model=self._model, detail=str(error))
        return failure(error, self._model, tries=tries)


def _said(event: object) -> str | None:
    """What came, as text; of tool calls their arguments."""
    match event:
        case PartStartEvent(part=TextPart(content=text)):
            return text
        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case PartDeltaEvent(delta=ToolCallPartDelta(args_delta=str(text))):
            return text
        case PartStartEvent(part=ToolCallPart(args=str(text))):
            return text
        case _:
            return None


def _is_text(event: object) -> bool:
    return isinstance(event, PartStartEvent | PartDeltaEvent) and isinstance(
        event.part if isinstance(event, PartStartEvent) else event.delta, TextPart | TextPartDelta
    )


def _is_ended(response: ModelResponse) -> bool:
    """Whether the provider said that this was all; a reason that the library does not know is one, too."""
    return response.finish_reason is not None or bool((response.provider_details or {}).get("finish_reason"))
