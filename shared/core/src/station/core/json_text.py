"""Reads JSON text with what JSON parsers leave out: a limit on nesting, no duplicate names, places in errors."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from station.contracts.problems import Problem
from station.core.codes import Code
from station.core.jsonvalue import is_object, large_integer, may_hold_large_integers, pointer_token

MAX_NESTING = 64
MAX_PROBLEMS = 100

_TOKEN = re.compile(r'(?P<string>"(?:[^"\\\n]|\\.)*")(?P<key>\s*:)?|(?P<open>[{\[])|(?P<close>[}\]])|(?P<comma>,)')
_NUMBER = re.compile(r"\s*(-?\d[\d.eE+-]*)")
_AT_BYTE = re.compile(r"\s*\(byte (\d+)\)$")


def read_json(text: str) -> tuple[Any, tuple[Problem, ...]]:
    """Give the data and what is wrong with the text."""
    scan = _Scan(text)
    scan.run()
    if scan.problems:
        return None, tuple(scan.problems)
    raw = text.encode()
    try:
        data: Any = msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        return None, (_syntax_problem(text, str(error)),)
    too_large = large_integer(data) if may_hold_large_integers(raw) else None
    if too_large is not None:
        message = "the integer has more than 64 bits"
        return None, (Problem(Code.BAD_NUMBER.value, too_large, message, "put it in quotes to mean the text"),)
    if is_object(data) and scan.version is not None:
        data["version"] = scan.version
    return data, ()


def line_and_column(text: str, position: int) -> str:
    """Say where a character is, as editors count."""
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return f"line {line}, column {column}"


class _Scan:
    """One pass over the tokens that give JSON its structure."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.problems: list[Problem] = []
        self.version: str | None = None
        self._names: list[set[str] | None] = []
        self._at: list[str] = []

    def run(self) -> None:
        for token in _TOKEN.finditer(self.text):
            if len(self.problems) == MAX_PROBLEMS:
                return
            if token["key"]:
                self._key(token)
            elif token["open"]:
                self._names.append(set() if token["open"] == "{" else None)
                self._at.append("" if token["open"] == "{" else "0")
                if len(self._names) > MAX_NESTING:
                    self._note(
                        Code.DOCUMENT_TOO_DEEP,
                        token.start(),
                        f"nested more than {MAX_NESTING} deep",
                        "/".join(self._at[:-1]),
                    )
                    return
            elif token["close"] and self._names:
                self._names.pop()
                self._at.pop()
            elif token["comma"] and self._at and self._names[-1] is None:
                self._at[-1] = str(int(self._at[-1]) + 1)

    def _key(self, token: re.Match[str]) -> None:
        names = self._names[-1] if self._names else None
        if names is None:
            return
        try:
            name = str(msgspec.json.decode(token["string"]))
        except msgspec.DecodeError:
            return  # the parser says it better
        self._at[-1] = pointer_token(name)
        if name in names:
            self._note(Code.DUPLICATE_KEY, token.start(), f"the name {name!r} is there twice", "/".join(self._at))
        names.add(name)
        number = _NUMBER.match(self.text, token.end())
        if name == "version" and len(self._names) == 1 and number is not None:
            self.version = number[1]

    def _note(self, code: Code, position: int, message: str, pointer: str) -> None:
        where = line_and_column(self.text, position)
        self.problems.append(Problem(code.value, f"/{pointer}" if pointer else "", f"{where}: {message}"))


def _syntax_problem(text: str, message: str) -> Problem:
    place = _AT_BYTE.search(message)
    code = Code.BAD_NUMBER if "out of range" in message else Code.DOCUMENT_SYNTAX
    position = len(text) if place is None else len(text.encode()[: int(place[1])].decode(errors="ignore"))
    reason = _AT_BYTE.sub("", message)
    hint = "JSON has no NaN and no infinities" if text[position : position + 3] in ("NaN", "Inf", "-In") else None
    return Problem(code.value, "", f"{line_and_column(text, position)}: {reason}", hint)
