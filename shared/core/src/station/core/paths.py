"""Paths into the context: names joined by dots, `a["odd name"]` for the rest, numbers for list members.

A path is parsed into a tuple of names; `ctx` or `$` in front is the root and is dropped. A number stays
text, since only the value at hand tells whether it is a list's index or an object's name.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TypeAlias

Path: TypeAlias = tuple[str, ...]

MAX_PATH_CHARACTERS = 1024

_NAME = re.compile(r"[\w-]+")
_BRACKET = re.compile(r"""\[\s*(?:(?P<index>\d+)|(?P<double>"(?:[^"\\]|\\.)*")|'(?P<single>(?:[^'\\]|\\.)*)')\s*\]""")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ROOT = re.compile(r"(?:ctx|\$)(?=$|[.\[])")


class PathError(ValueError):
    """A text that is not a path; `position` counts characters from 0."""

    def __init__(self, text: str, position: int, expected: str) -> None:
        super().__init__(f"bad path {text!r} at character {position + 1}: expected {expected}")
        self.text = text
        self.position = position
        self.expected = expected


@lru_cache(maxsize=4096)
def parse_path(text: str) -> Path:
    """Parse a path; the root (`ctx` or `$`) is the empty tuple. Raises PathError."""
    if len(text) > MAX_PATH_CHARACTERS:
        raise PathError(text[:40] + "…", MAX_PATH_CHARACTERS, f"at most {MAX_PATH_CHARACTERS} characters")
    root = _ROOT.match(text)
    names: list[str] = []
    position = root.end() if root else 0
    first = root is None
    while first or position < len(text):
        name, position = _segment(text, position, first=first)
        names.append(name)
        first = False
    return tuple(names)


def format_path(path: Path) -> str:
    """Write a path so that `parse_path` reads it back; the root is `ctx`."""
    text = ""
    for name in path:
        if _NAME.fullmatch(name) and (text or name != "ctx"):
            text += f".{name}" if text else name
        else:
            text += f"[{json.dumps(name, ensure_ascii=False)}]"
    return text or "ctx"


def _segment(text: str, position: int, *, first: bool) -> tuple[str, int]:
    if text.startswith("[", position):
        return _bracketed(text, position)
    if not first:
        if not text.startswith(".", position):
            raise PathError(text, position, 'a dot, a bracket or the end; odd names go in brackets: a["b c"]')
        position += 1
    match = _NAME.match(text, position)
    if match is None:
        raise PathError(text, position, 'a name; names with odd characters go in brackets: a["b.c"]')
    return match.group(), match.end()


def _bracketed(text: str, position: int) -> tuple[str, int]:
    match = _BRACKET.match(text, position)
    if match is None:
        raise PathError(text, position, 'a number or a quoted name and "]" after "["')
    if match["index"] is not None:
        return match["index"], match.end()
    if match["single"] is not None:
        return _ESCAPE.sub(r"\1", match["single"]), match.end()
    try:
        return json.loads(match["double"], strict=False), match.end()
    except ValueError:
        raise PathError(text, position, "a JSON string in the brackets") from None
