"""What the front matter of a ``.prompt`` file may say, and what is wrong with it before any backend reads its part."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, cast

FIELDS = (
    "agents",
    "arguments",
    "config",
    "description",
    "exec",
    "input",
    "maxSteps",
    "max_steps",
    "mcpServers",
    "metadata",
    "model",
    "name",
    "output",
    "scripted",
    "toolDefs",
    "tools",
    "variant",
    "version",
)
"""All that something here reads, and what dotprompt itself defines. A name with a dot is an extension of others."""
SECTIONS = {"input": ("schema", "default"), "output": ("schema", "format", "retries")}
FORMATS = ("json", "text")
WRONG_TYPE = "invalid recognized field type"
"""As the parser words it."""


class PromptError(Exception):
    """The file is no usable prompt. The message says where, what is wrong and what to do."""


def remarks(front_matter: Mapping[str, Any]) -> tuple[str, ...]:
    """Names that nobody reads: most are slips of the pen. The agent can be used all the same."""
    found = [_unknown(name, FIELDS, "") for name in front_matter if name not in FIELDS and "." not in name]
    for section, known in SECTIONS.items():
        inside: object = front_matter.get(section)
        if isinstance(inside, dict):
            names = cast("dict[str, Any]", inside)
            found += [_unknown(name, known, f"{section}.") for name in names if name not in known]
    return tuple(found)


def unreadable(source: str, line: int, column: int, reason: str) -> PromptError:
    """Say where the front matter cannot be read, with the line itself: for a wrong type that is all one has."""
    at = f"line {line}, column {column}"
    if reason == WRONG_TYPE:
        lines = source.splitlines()
        shown = lines[line - 1].strip() if 0 < line <= len(lines) else ""
        reason = (
            f"the value in `{shown}` is of the wrong type; `input`, `output`, `config` and `metadata` are objects,"
            " `tools` is a list of names, and what stands for a name, a model or a description is text"
        )
        return PromptError(f"{at}: {reason}")
    return PromptError(f"{at}: the front matter cannot be read: {reason}; correct the YAML there")


def promises_json(front_matter: Mapping[str, Any]) -> bool:
    """Whether the answer must be JSON, whatever JSON that is: ``output.format: json``.

    Raises:
        PromptError: the format is none, or does not go with the schema beside it.
    """
    output: Mapping[str, Any] = front_matter.get("output") or {}
    wanted: object = output.get("format")
    if wanted is None:
        return False
    if wanted not in FORMATS:
        raise PromptError(f"`output.format` must be one of {', '.join(FORMATS)}, not {wanted!r}")
    if wanted == "text" and output.get("schema") is not None:
        raise PromptError(
            "`output.format` is text, but there is an `output.schema`, which only JSON can keep; drop one"
        )
    return wanted == "json"


def schema_error(part: str, reason: Exception) -> PromptError:
    """Say why a schema cannot be used; a bare name is taken for the name of a schema that is kept elsewhere."""
    unresolved = "unsupported scalar type '"
    if unresolved in str(reason):
        name = str(reason).partition(unresolved)[2].partition("'")[0]
        return PromptError(
            f"`{part}.schema` names {name!r}, which is no type of Picoschema (string, number, integer, boolean,"
            " null, any), and there are no schemas by name here; write the schema itself in its place"
        )
    return PromptError(f"`{part}.schema` is neither JSON Schema nor Picoschema: {reason}")


def _unknown(name: str, known: tuple[str, ...], section: str) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean `{section}{near[0]}`?" if near else f"there are: {', '.join(known)}"
    return f"`{section}{name}` is not read by anything; {hint}"
