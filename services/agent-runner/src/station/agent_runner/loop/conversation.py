"""A rendered prompt as a model gets it: what holds throughout, what was said before, and what is asked now."""

from __future__ import annotations

from collections.abc import Sequence

from dotpromptz import MediaPart, Message, Role, TextPart
from msgspec import Struct
from pydantic_ai.messages import (
    BinaryContent,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.messages import TextPart as SaidPart

from station.agent_runner.prompts import text_of


class Conversation(Struct, frozen=True):
    """How it begins."""

    instructions: str | None
    history: list[ModelMessage]
    question: str | list[UserContent]


def conversation(messages: Sequence[Message], task: str | None) -> Conversation:
    """Arrange messages: system messages hold throughout, the user's last one is the question.

    Where the user says nothing last, the task is the question; without one, the instructions are.

    Raises:
        ValueError: a picture cannot be used.
    """
    system = "\n\n".join(text_of(message) for message in messages if message.role is Role.SYSTEM)
    said = [message for message in messages if message.role is not Role.SYSTEM and message.content]
    question: str | list[UserContent] | None = None
    if said and said[-1].role is Role.USER:
        question = _content(said.pop())
    history = [_message(message) for message in said]
    if question is None and not task:
        return Conversation(None, history, system)
    return Conversation(system or None, history, question if question is not None else task or "")


def _message(message: Message) -> ModelMessage:
    if message.role is Role.MODEL:
        return ModelResponse(parts=[SaidPart(content=text_of(message))])
    return ModelRequest(parts=[UserPromptPart(content=_content(message))])


def _content(message: Message) -> str | list[UserContent]:
    if not any(isinstance(part, MediaPart) for part in message.content):
        return text_of(message)
    content: list[UserContent] = []
    for part in message.content:
        if isinstance(part, TextPart) and part.text.strip():
            content.append(part.text)
        elif isinstance(part, MediaPart):
            url = part.media.url
            content.append(BinaryContent.from_data_uri(url) if url.startswith("data:") else ImageUrl(url))
    return content
