"""Turns what a person types into JSON values: ``--input JSON|@file|-``, ``-i key=value``, ``--label k=v``."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import msgspec

from station.cli.errors import USAGE, CommandError

_TODO = 'write {option} \'{{"name": "value"}}\', {option} @file.json or {option} - for standard input'


def json_argument(option: str, text: str | None) -> Any:
    """JSON as it stands, from ``@file``, or from standard input for ``-``; None when not given."""
    if text is None:
        return None
    source = _source(option, text)
    try:
        return msgspec.json.decode(source)
    except (msgspec.DecodeError, RecursionError) as error:
        why = "nested too deep" if isinstance(error, RecursionError) else error
        raise CommandError(
            f"{option} is not JSON ({why})",
            where=source.decode(errors="replace")[:80],
            todo=_TODO.format(option=option),
            exit_code=USAGE,
        ) from error


def object_argument(option: str, text: str | None) -> dict[str, Any]:
    """As `json_argument`, where only a JSON object will do; empty when not given."""
    value = json_argument(option, text)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CommandError(f"{option} must be a JSON object", where=str(value)[:80], exit_code=USAGE)
    return cast("dict[str, Any]", value)


def input_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """``key=value`` pairs; a value that is JSON keeps its type, any other is text. ``a.b=1`` makes an object."""
    result: dict[str, Any] = {}
    for name, value in _split(pairs, "-i"):
        *outer, last = name.split(".")
        place = result
        for part in outer:
            inner: Any = place.setdefault(part, {})
            if not isinstance(inner, dict):
                raise CommandError(f"-i {name}: {part} has a value already and cannot hold {last}", exit_code=USAGE)
            place = cast("dict[str, Any]", inner)
        place[last] = _typed(value)
    return result


def label_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """``key=value`` pairs; values are text."""
    return dict(_split(pairs, "--label"))


def segment(name: str) -> str:
    """An id or a name as one part of a URL's path: it must not lead anywhere else."""
    if name in {"", ".", ".."}:
        raise CommandError(f"{name!r} is no id and no name", exit_code=USAGE)
    return quote(name, safe="")


def check_text(arguments: Iterable[str]) -> None:
    """Refuse arguments with bytes that are not UTF-8, which Python hands on as halves of characters."""
    for argument in arguments:
        if not argument.isascii() and argument != argument.encode(errors="replace").decode():
            shown = argument.encode(errors="replace").decode()[:80]
            raise CommandError("an argument is not text in UTF-8", where=shown, exit_code=USAGE)


def _split(pairs: Iterable[str], option: str) -> Iterable[tuple[str, str]]:
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise CommandError(f"{option} {pair} is not key=value", exit_code=USAGE)
        yield name, value


def _typed(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _source(option: str, text: str) -> bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    if not text.startswith("@"):
        return text.encode()
    try:
        return Path(text[1:]).expanduser().read_bytes()
    except OSError as error:
        raise CommandError(f"{option}: {text[1:]} cannot be read ({error.strerror})", exit_code=USAGE) from error
