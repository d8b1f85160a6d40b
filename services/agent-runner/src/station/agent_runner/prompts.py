"""Reads a ``.prompt`` file with dotprompt: front matter, schemas in either form, and a body that renders to text."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, cast

import msgspec
from dotpromptz import (
    DataArgument,
    Dotprompt,
    FrontmatterError,
    ParsedPrompt,
    PromptFunction,
    TextPart,
    parse_document,
    picoschema_to_json_schema,
)
from msgspec import Struct

JSON_SCHEMA_LISTS = ("type", "enum", "anyOf", "oneOf", "allOf", "required")
"""A list under one of these names is JSON Schema; in Picoschema they could only be names of properties."""


class PromptError(Exception):
    """The file is no usable prompt. The message says where, what is wrong and what to do."""


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


async def read_prompt(source: str, file: PurePath) -> PromptFile:
    """Parse and compile one file.

    Raises:
        PromptError: for everything that a person can get wrong in it.
    """
    parsed = _parse(source)
    front_matter = msgspec.json.decode(msgspec.json.encode(parsed.raw or {}), type=dict[str, Any])
    prompt = await _compile(parsed.template)
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
    )


async def render(prompt: PromptFunction[Any], task: str | None, variables: dict[str, Any]) -> str:
    """The body as text. ``task`` and ``userInput`` can be used in it; messages of several roles follow each other.

    Raises:
        ValueError: the body cannot be rendered with these variables.
    """
    offered = {"task": task, "userInput": task, **variables}
    rendered = await prompt(DataArgument[dict[str, Any]](input=offered))
    texts = [[part.text for part in message.content if isinstance(part, TextPart)] for message in rendered.messages]
    return "\n\n".join("".join(parts) for parts in texts)


def _parse(source: str) -> ParsedPrompt[Any]:
    try:
        parsed: ParsedPrompt[Any] = parse_document(source)
    except FrontmatterError as error:
        at = f"line {error.line}, column {error.column}"
        raise PromptError(f"{at}: the front matter cannot be read: {error.reason}; correct the YAML there") from error
    if parsed.raw is None:
        raise PromptError("line 1: there is no front matter; begin the file with `---`, `model: …` and another `---`")
    return parsed


async def _compile(body: str) -> PromptFunction[Any]:
    """Compile the body, and render it once: only that shows a helper or a partial which does not exist.

    The front matter stays out of it: its schemas would be converted anew for every rendering.
    """
    bare = ParsedPrompt[dict[str, Any]](template=body)
    try:
        # A parsed prompt is taken too, whatever the annotation says.
        prompt = cast("PromptFunction[Any]", await Dotprompt().compile(cast("Any", bare)))
        await render(prompt, "", {})
    except ValueError as error:
        raise PromptError(f"the body below the front matter does not compile: {error}") from error
    return prompt


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
        raise PromptError(f"`{part}.schema` is neither JSON Schema nor Picoschema: {error}") from error


def _is_json_schema(schema: dict[str, Any]) -> bool:
    """Dotprompt's own test is narrower: a root without ``type``, or with a list of types, is JSON Schema too."""
    if any(name.startswith("$") for name in schema):
        return True
    return any(isinstance(schema.get(name), list) for name in JSON_SCHEMA_LISTS)
