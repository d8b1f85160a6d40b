"""Reads a ``.prompt`` file with dotprompt: front matter, schemas in either form, and a body that renders to text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, cast

import msgspec
from dotpromptz import (
    DataArgument,
    Dotprompt,
    FrontmatterError,
    Message,
    ParsedPrompt,
    PromptFunction,
    Role,
    TextPart,
    parse_document,
    picoschema_to_json_schema,
)
from msgspec import Struct

from station.agent_runner.front_matter import PromptError, promises_json, remarks, schema_error, unreadable

__all__ = [
    "PromptError",
    "PromptFile",
    "compile_body",
    "history_of",
    "read_prompt",
    "render",
    "render_messages",
    "text_of",
    "used_partials",
]

JSON_SCHEMA_LISTS = ("type", "enum", "anyOf", "oneOf", "allOf", "required")
"""A list under one of these names is JSON Schema; in Picoschema they could only be names of properties."""
MAX_STEPS = 1000
CONTEXT = "@"
_PARTIAL = re.compile(r"\{\{~?#?>\s*[\"']?([\w.-]+)")
_NONE: Mapping[str, str] = MappingProxyType({})
_HISTORY = re.compile(r"\{\{~?\s*history\s*~?\}\}")
_ROLES = {"user": Role.USER, "model": Role.MODEL, "assistant": Role.MODEL, "system": Role.SYSTEM}


class PromptFile(Struct, frozen=True, kw_only=True):
    """A parsed file. ``front_matter`` is plain JSON: YAML's dates have become text."""

    name: str
    model: str
    description: str | None
    tools: tuple[str, ...]
    front_matter: dict[str, Any]
    defaults: dict[str, Any]
    input_schema: dict[str, Any] | None
    output_schema: dict[str, Any] | None
    prompt: PromptFunction[Any]
    takes_history: bool
    """Whether the body says ``{{history}}``; then the variable of that name is a list of what was said before."""
    partials: dict[str, str]
    """The text of those that the body uses, by name."""
    config: dict[str, Any]
    """Of the model: ``temperature``, ``topP``, ``maxOutputTokens`` …"""
    agents: tuple[str, ...]
    """Agents that it may call as tools."""
    mcp_servers: tuple[str, ...]
    """MCP servers all of whose tools it may use."""
    max_steps: int | None
    """Most requests to its model in one attempt."""
    promises_json: bool = False
    """The answer must be JSON, with or without a schema."""
    remarks: tuple[str, ...] = ()
    """What in it nobody reads."""


async def read_prompt(source: str, file: PurePath, partials: Mapping[str, str] = _NONE) -> PromptFile:
    """Parse and compile one file, with the partials that its folder has, by name.

    Raises:
        PromptError: for everything that a person can get wrong in it.
    """
    parsed = _parse(source)
    front_matter = msgspec.json.decode(msgspec.json.encode(parsed.raw or {}), type=dict[str, Any])
    used = used_partials(parsed.template, partials)
    prompt = await compile_body(parsed.template, used)
    return PromptFile(
        name=_name(front_matter, file),
        model=_model(parsed),
        description=parsed.description,
        tools=tuple(parsed.tools or ()),
        front_matter=front_matter,
        defaults=_defaults(front_matter),
        input_schema=await _schema(front_matter, "input"),
        output_schema=await _schema(front_matter, "output"),
        prompt=prompt,
        takes_history=_HISTORY.search(parsed.template) is not None,
        partials=used,
        config=front_matter.get("config") or {},
        agents=_texts(front_matter, "agents"),
        mcp_servers=_texts(front_matter, "mcpServers"),
        max_steps=_max_steps(front_matter),
        promises_json=promises_json(front_matter),
        remarks=remarks(front_matter),
    )


async def render(prompt: PromptFunction[Any], task: str | None, variables: dict[str, Any]) -> str:
    """The body as text. ``task`` and ``userInput`` can be used in it; messages of several roles follow each other.

    Raises:
        ValueError: the body cannot be rendered with these variables.
    """
    messages = await render_messages(prompt, task, variables)
    return "\n\n".join(text_of(message) for message in messages)


async def render_messages(
    prompt: PromptFunction[Any], task: str | None, variables: dict[str, Any], history: list[Message] | None = None
) -> list[Message]:
    """The body as messages with roles, what was said before in its place among them.

    The variable ``@state`` is what the body calls ``{{@state}}``.

    Raises:
        ValueError: the body cannot be rendered with these variables.
    """
    told = {} if task is None else {"task": task, "userInput": task}
    context = {name[1:]: value for name, value in variables.items() if name.startswith(CONTEXT)}
    rendered = await prompt(
        DataArgument[dict[str, Any]](input={**told, **variables}, messages=history, context=context or None)
    )
    return rendered.messages


def text_of(message: Message) -> str:
    """The text of a message; its media are left out."""
    return "".join(part.text for part in message.content if isinstance(part, TextPart))


def history_of(variables: dict[str, Any]) -> list[Message] | None:
    """What was said before, as the variable ``history`` gives it: ``[{role, text}]``.

    Raises:
        ValueError: it is something else.
    """
    given: object = variables.get("history")
    if given is None:
        return None
    if not isinstance(given, list):
        message = "`history` must be a list of {role, text}"
        raise ValueError(message)  # noqa: TRY004 - a mistake of the caller's data, not of a type in here
    return [_said(entry, index) for index, entry in enumerate(cast("list[object]", given))]


def _said(entry: object, index: int) -> Message:
    said = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
    role, text = _ROLES.get(said.get("role", "")), said.get("text")
    if role is None or not isinstance(text, str):
        message = f"`history[{index}]` must be {{role, text}} with a role of {', '.join(_ROLES)}"
        raise ValueError(message)
    return Message(role=role, content=[TextPart(text=text)], metadata={"purpose": "history"})


def used_partials(template: str, partials: Mapping[str, str]) -> dict[str, str]:
    """Those that a body uses, and those that they use."""
    used: dict[str, str] = {}
    pending = [template]
    while pending:
        for name in _PARTIAL.findall(pending.pop()):
            if name in partials and name not in used:
                used[name] = partials[name]
                pending.append(partials[name])
    return used


def _parse(source: str) -> ParsedPrompt[Any]:
    try:
        parsed: ParsedPrompt[Any] = parse_document(source)
    except FrontmatterError as error:
        raise unreadable(source, error.line, error.column, error.reason) from error
    if parsed.raw is None:
        raise PromptError("line 1: there is no front matter; begin the file with `---`, `model: …` and another `---`")
    return parsed


async def compile_body(body: str, partials: dict[str, str]) -> PromptFunction[Any]:
    """Compile the body, and render it once: only that shows a helper or a partial which does not exist.

    The front matter stays out of it: its schemas would be converted anew for every rendering.

    Raises:
        PromptError: it does not compile.
    """
    bare = ParsedPrompt[dict[str, Any]](template=body)
    try:
        # A parsed prompt is taken too, whatever the annotation says.
        prompt = cast("PromptFunction[Any]", await _engine(partials).compile(cast("Any", bare)))
        await render(prompt, "", {})
    except ValueError as error:
        raise PromptError(f"the body below the front matter does not compile: {error}") from error
    return prompt


def _unheard(*_given: object) -> str:
    return ""


def _engine(partials: dict[str, str]) -> Dotprompt:
    # Handlebars' own `log` prints: to stdout, at every rendering, past everything that strikes secrets out.
    return Dotprompt(partials=partials, helpers={"log": _unheard})


def _name(front_matter: dict[str, Any], file: PurePath) -> str:
    metadata = front_matter.get("metadata")
    name: object = cast("dict[str, Any]", metadata).get("name") if isinstance(metadata, dict) else None
    if name is None:
        return file.stem
    if not isinstance(name, str) or not name:
        raise PromptError(f"`metadata.name` must be a text, not {name!r}")
    return name


def _model(parsed: ParsedPrompt[Any]) -> str:
    if not parsed.model:
        raise PromptError("`model` is missing; say what runs the agent, such as `model: exec` or `model: scripted`")
    return parsed.model


def _texts(front_matter: dict[str, Any], name: str) -> tuple[str, ...]:
    value: object = front_matter.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in cast("list[object]", value)):
        raise PromptError(f"`{name}` must be a list of names, not {value!r}")
    return tuple(dict.fromkeys(cast("list[str]", value)))


def _max_steps(front_matter: dict[str, Any]) -> int | None:
    value: object = front_matter.get("max_steps", front_matter.get("maxSteps"))
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_STEPS:
        raise PromptError(f"`max_steps` must be a whole number from 1 to {MAX_STEPS}, not {value!r}")
    return value


def _defaults(front_matter: dict[str, Any]) -> dict[str, Any]:
    section: object = front_matter.get("input")
    return cast("dict[str, Any]", section).get("default") or {} if isinstance(section, dict) else {}


async def _schema(front_matter: dict[str, Any], part: str) -> dict[str, Any] | None:
    section: object = front_matter.get(part)
    schema: object = cast("dict[str, Any]", section).get("schema") if isinstance(section, dict) else None
    if schema is None:
        return None
    if isinstance(schema, dict) and _is_json_schema(cast("dict[str, Any]", schema)):
        return cast("dict[str, Any]", schema)
    try:
        return await picoschema_to_json_schema(schema)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise schema_error(part, error) from error


def _is_json_schema(schema: dict[str, Any]) -> bool:
    """Dotprompt's own test is narrower: a root without ``type``, or with a list of types, is JSON Schema too."""
    if any(name.startswith("$") for name in schema):
        return True
    return any(isinstance(schema.get(name), list) for name in JSON_SCHEMA_LISTS)
