"""The loop: a model is asked, its tools are called, until it has answered what the agent's file promises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from msgspec import Struct
from opentelemetry.trace import SpanKind
from pydantic_ai import Agent as Loop
from pydantic_ai.exceptions import AgentRunError, ModelRetry, OutputTokenLimitExceeded, UnexpectedModelBehavior
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import UsageLimits

from station.agent_runner.backends.protocol import AgentCall, Answer
from station.agent_runner.failures import AttemptFailed, agent_error, bad_input, bad_output
from station.agent_runner.loop.config import OUTPUT_RETRIES
from station.agent_runner.loop.conversation import Conversation, conversation
from station.agent_runner.loop.equipment import Equipment
from station.agent_runner.loop.faults import failure
from station.agent_runner.loop.outputs import Wanted, wanted
from station.agent_runner.loop.talk import Talk
from station.agent_runner.loop.tools import Tools, tools_of
from station.agent_runner.outputs import interpret
from station.agent_runner.prompts import history_of, render_messages
from station.contracts.errors import ErrorType

TAIL = 300


class Manner(Struct, frozen=True, kw_only=True):
    """How a model is spoken to."""

    settings: Mapping[str, Any] = {}
    """In the words of the model library."""
    output_retries: int = OUTPUT_RETRIES
    native: bool = False
    """Its server holds it to a JSON Schema by itself."""


async def run_loop(call: AgentCall, model: Model, manner: Manner, equipment: Equipment) -> Answer:
    """Let a model do the work of one attempt. When cancelled, request, tool call and child agents have ended.

    Raises:
        AttemptFailed: whatever went wrong; it says what to look at.
    """
    agent = call.agent
    begin = await _begin(call)
    asked = wanted(agent.summary.output_schema, native=manner.native)
    with equipment.spans.open(
        f"invoke_agent {agent.name}", call.traceparent, SpanKind.INTERNAL, operation="invoke_agent", agent=agent.name
    ) as span:
        talk = Talk(model, call, asked, equipment, span.inside)
        judge = _Judge(call, asked, manner.output_retries)
        tools = Tools(call, await tools_of(call, equipment), talk, equipment)
        loop = _loop(talk, tools, judge, begin.instructions, manner)
        try:
            result = await loop.run(
                begin.question, message_history=begin.history, usage_limits=UsageLimits(request_limit=None)
            )
        except (AgentRunError, AttemptFailed) as error:
            raise judge.failure(error) from error
    return asked.answer(result.output)


def _loop(talk: Talk, tools: Tools, judge: _Judge, instructions: str | None, manner: Manner) -> Loop[object, Any]:
    settings: dict[str, Any] = {"max_retries": 0, **manner.settings}
    loop = Loop[object, Any](
        talk,
        output_type=judge.wanted.output_type,
        instructions=instructions,
        toolsets=[tools],
        model_settings=cast("ModelSettings", settings),
        # Mistakes with tools are told to the model as often as it may be asked at all.
        retries={"output": manner.output_retries, "tools": talk.max_turns},
    )
    loop.output_validator(judge.check)
    return loop


async def _begin(call: AgentCall) -> Conversation:
    agent = call.agent
    try:
        history = history_of(call.variables) if agent.takes_history else None
        return conversation(await render_messages(agent.prompt, call.task, call.variables, history), call.task)
    except ValueError as error:
        raise bad_input(
            f"the prompt in {agent.summary.source_file} cannot be made of these variables: {error}"
        ) from error


class _Judge:
    """Decides whether an answer keeps what the agent's file promises, and says so to the model."""

    def __init__(self, call: AgentCall, asked: Wanted, retries: int) -> None:
        self.wanted = asked
        self.retries = retries
        self._call = call
        self._last: str | None = None
        """What was wrong with the last answer."""
        self._answer = ""

    async def check(self, output: Any) -> Any:
        """Accept an answer, or have the model try again."""
        agent = self._call.agent
        try:
            interpret(self.wanted.answer(output), agent, limit=self._call.max_output_bytes)
        except AttemptFailed as failed:
            if failed.error.type is not ErrorType.VALIDATION:
                raise
            self._last, self._answer = failed.error.message, str(output)
            self._call.progress.say("retry", agent=agent.name, text=failed.error.message)
            raise ModelRetry(f"{failed.error.message}. Answer again, and correct that.") from failed
        return output

    def failure(self, error: AgentRunError | AttemptFailed) -> AttemptFailed:
        """How the attempt failed."""
        if isinstance(error, AttemptFailed):
            return error
        agent = self._call.agent
        if isinstance(error, UnexpectedModelBehavior) and not isinstance(error, OutputTokenLimitExceeded):
            if self._last is not None:
                times = f"after it was told so {self.retries} times" if self.retries else "and is not asked again"
                return bad_output(f"{self._last} ({times}); the end of its last answer: {self._answer[-TAIL:]!r}")
            if agent.output_validator is not None:
                return bad_output(f"agent {agent.name!r} gave no answer that keeps its output schema: {error}")
            if "output retries" in str(error):
                return agent_error(
                    f"{agent.summary.model} answered nothing that agent {agent.name!r} can give on: {error}"
                )
        return failure(error, agent.summary.model)
