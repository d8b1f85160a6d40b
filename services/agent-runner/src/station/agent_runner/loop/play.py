"""The scripted model: it says what a script says, and everything around it is what real models get."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

from station.agent_runner.loop.outputs import BOX
from station.agent_runner.loop.tools import safe_name
from station.core.jsonvalue import is_object

Calls = Sequence[tuple[str, dict[str, Any]]]


def scripted_model(turns: Sequence[Calls], answer: Any, before_answer: Callable[[], Awaitable[None]]) -> FunctionModel:
    """Make a model for one attempt: it calls tools, turn by turn, and then answers."""
    pending = list(turns)

    async def say(_messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
        if pending:
            number = len(turns) - len(pending)
            for index, (tool, arguments) in enumerate(pending.pop(0)):
                yield _call(index, safe_name(tool), arguments, f"scripted_{number}_{index}")
            return
        await before_answer()
        output = info.output_tools[0] if info.output_tools else None
        if output is None:
            yield answer if isinstance(answer, str) else _json(None if answer is UNSET else answer)
            return
        boxed = set(output.parameters_json_schema.get("properties", ())) == {BOX}
        fits = is_object(answer) and not (boxed and BOX not in answer)
        yield _call(0, output.name, answer if fits else {BOX: answer}, "scripted_answer")

    return FunctionModel(stream_function=say, model_name="scripted")


def _call(index: int, tool: str, arguments: dict[str, Any], call_id: str) -> DeltaToolCalls:
    return {index: DeltaToolCall(name=tool, json_args=_json(arguments), tool_call_id=call_id)}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
