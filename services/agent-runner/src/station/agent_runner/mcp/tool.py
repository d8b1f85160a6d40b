"""A tool of a server, what a call of it gives, and the error when the server cannot be had."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType

SEPARATOR = "__"
"""Between a server's name and a tool's, wherever a tool is named: ``kubernetes__list_pods``."""


class Tool(Struct, frozen=True, kw_only=True):
    """One tool, as its server describes it."""

    name: str
    """Without the server's."""
    description: str = ""
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None = None


class ToolResult(Struct, frozen=True, kw_only=True):
    """What a tool answered."""

    structured: Any | UnsetType = UNSET
    """JSON, where the tool gives it."""
    text: str = ""
    """The same for people and models; with ``is_error`` the reason."""
    is_error: bool = False


class McpUnavailable(Exception):
    """A server cannot be used, or was lost during a call. The message is a sentence: which, why, what to look at."""


class NotConfigured(McpUnavailable):
    """The environment has no server of that name, or one whose settings cannot be used."""


def full_name(server: str, tool: str) -> str:
    """As agents write it."""
    return f"{server}{SEPARATOR}{tool}"
