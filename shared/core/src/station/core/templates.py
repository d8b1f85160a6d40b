"""Templates `{{ path }}`: path lookup only, one pass, never scanned again.

A string that is exactly one placeholder keeps the value's JSON type; in any other string the value is
written into the text. A missing path is the business of the lookup: rendering adds nothing to it.
A small text may ask for a large value many times, so what is put in is counted as it goes in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import msgspec

from station.core.jsonvalue import is_array, is_object, pointer_token
from station.core.paths import Path, PathError, parse_path

_OPEN = "{{"
_PLACEHOLDER = re.compile(r"""\{\{((?:[^"'{}]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')*)\}\}""", re.DOTALL)
_CACHED_CHARACTERS = 4096

Lookup: TypeAlias = Callable[[Path], Any]


class TemplateError(ValueError):
    """A text whose placeholders cannot be read; `position` counts characters from 0."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"bad template at character {position + 1}: {reason}")
        self.position = position
        self.reason = reason


class RenderedTooLargeError(ValueError):
    """What the placeholders put in has more than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"what its placeholders put in has more than {limit} bytes, the limit")


class Placeholder(NamedTuple):
    """One `{{ path }}`: the parsed path and the text the author wrote."""

    path: Path
    text: str


class Template(NamedTuple):
    """Literal texts and placeholders in order."""

    segments: tuple[str | Placeholder, ...]

    @property
    def whole(self) -> Placeholder | None:
        """The placeholder, if the template is exactly one."""
        if len(self.segments) == 1 and isinstance(self.segments[0], Placeholder):
            return self.segments[0]
        return None


def parse_template(text: str) -> Template:
    """Split a text into literals and placeholders. Raises TemplateError."""
    return _parse_cached(text) if len(text) <= _CACHED_CHARACTERS else _parse(text)


def render(value: Any, lookup: Lookup, *, limit: int) -> Any:
    """Fill the placeholders in every string of a JSON value, at any depth; object names are left alone.

    Raises what `lookup` raises, TemplateError for a text that loading would have refused, and
    RenderedTooLargeError as soon as more than ``limit`` bytes were put in.
    """
    return _Rendering(lookup, limit).of(value)


def paths_in(value: Any, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Give `(JSON pointer, path text)` for every placeholder in a JSON value. Raises TemplateError."""
    for where, text in texts_in(value, pointer):
        for segment in parse_template(text).segments:
            if isinstance(segment, Placeholder):
                yield where, segment.text


def texts_in(value: Any, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Give `(JSON pointer, text)` for every string in a JSON value that holds a placeholder."""
    if isinstance(value, str):
        if _OPEN in value:
            yield pointer, value
    elif is_object(value):
        for name, member in value.items():
            yield from texts_in(member, f"{pointer}/{pointer_token(name)}")
    elif is_array(value):
        for index, member in enumerate(value):
            yield from texts_in(member, f"{pointer}/{index}")


class _Rendering:
    """One value being rendered, and what may still be put in."""

    __slots__ = ("_left", "_limit", "_lookup")

    def __init__(self, lookup: Lookup, limit: int) -> None:
        self._lookup = lookup
        self._limit = limit
        self._left = limit

    def of(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value) if _OPEN in value else value
        if is_object(value):
            return {name: self.of(member) for name, member in value.items()}
        if is_array(value):
            return [self.of(member) for member in value]
        return value

    def _text(self, text: str) -> Any:
        template = parse_template(text)
        whole = template.whole
        if whole is not None:
            found = self._lookup(whole.path)
            self._spend(_size(found))
            return found
        return "".join(
            segment if isinstance(segment, str) else self._inserted(segment) for segment in template.segments
        )

    def _inserted(self, placeholder: Placeholder) -> str:
        text = _as_text(self._lookup(placeholder.path))
        self._spend(_text_size(text))
        return text

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise RenderedTooLargeError(self._limit)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def _size(value: Any) -> int:
    """Bytes on the bus."""
    return _text_size(value) if isinstance(value, str) else len(msgspec.msgpack.encode(value))


def _text_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _parse(text: str) -> Template:
    segments: list[str | Placeholder] = []
    position = 0
    while (start := text.find(_OPEN, position)) >= 0:
        match = _PLACEHOLDER.match(text, start)
        if match is None:
            raise TemplateError(start, _why_unreadable(text, start))
        if start > position:
            segments.append(text[position:start])
        segments.append(_placeholder(match[1], start))
        position = match.end()
    if position < len(text):
        segments.append(text[position:])
    return Template(tuple(segments))


_parse_cached = lru_cache(maxsize=2048)(_parse)


def _placeholder(inner: str, start: int) -> Placeholder:
    text = inner.strip()
    try:
        return Placeholder(parse_path(text), text)
    except PathError as error:
        raise TemplateError(start, f"{error}; only a path may stand between {{{{ and }}}}") from None


def _why_unreadable(text: str, start: int) -> str:
    if "}}" not in text[start:]:
        return "this {{ is never closed with }}"
    return "only a path may stand between {{ and }}, with quotes closed and no braces"
