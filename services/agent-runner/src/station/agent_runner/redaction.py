"""Strikes secrets out of whatever leaves the process: by the name of a member, and by the values that are known.

The rule: a text that was cut is struck out before it is cut, or half a secret gets through.
"""

from __future__ import annotations

import base64
import operator
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, cast
from urllib.parse import quote, unquote

import msgspec

from station.core.jsonvalue import is_array, is_object

STRUCK = "[redacted]"
SHORTEST = 6
"""Shorter values are not looked for: they would be found in innocent words."""

_NAMES = (
    "password", "passwords", "passwd", "passphrase", "secret", "secrets", "token", "apikey", "apikeys", "privatekey",
    "accesskey", "secretkey", "signingkey", "encryptionkey", "authorization", "cookie", "cookies", "credential",
    "credentials", "accesstokens", "authtokens", "apitokens", "bearertokens", "refreshtokens",
)  # fmt: skip
DRAWN = 16
"""Characters from which on a value of letters and digits is taken to be drawn by lot."""
_DIGIT, _LETTER = re.compile(r"\d"), re.compile(r"[A-Za-z]")
_TRAILING = re.compile(r"(?:value|hash|header|text|base64|\d+)+\Z")
_PLACES = ("pagetoken", "nexttoken", "continuetoken", "continuationtoken", "synctoken")
"""Tokens that say where a list goes on."""
_USERINFO = re.compile(r"://(?:[^/@:\s]*:)?([^/@\s]+)@")


@lru_cache(maxsize=4096)
def looks_secret(name: str) -> bool:
    """Whether a member of this name holds a secret: ``apiKey``, ``DB_PASSWORD``, ``auth-token``, not ``maxTokens``."""
    bare = "".join(char for char in name if char.isalnum()).lower()
    bare = _TRAILING.sub("", bare) or bare
    return bare.endswith(_NAMES) and not bare.endswith(_PLACES)


def is_secret(name: str, value: str) -> bool:
    """Whether a variable holds a secret: its name says so, or its value looks drawn by lot (``prod-eu`` does not).

    Everything that is struck out is also missing from the data of runs, so what any text may hold is no secret.
    """
    drawn = len(value) >= DRAWN and not any(char.isspace() for char in value)
    return looks_secret(name) or (drawn and _DIGIT.search(value) is not None and _LETTER.search(value) is not None)


class Redactor:
    """Knows the secrets of one process. Ask it about everything that is stored, logged, told or traced."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._forms: set[str] = set()
        self._longest_first: tuple[str, ...] = ()
        self._pattern: re.Pattern[str] | None = None
        for value in values:
            self.learn(value)

    def learn(self, value: str) -> None:
        """A secret. It is looked for as it is and as JSON, a URL or base64 would write it."""
        value = value.strip()
        if len(value) < SHORTEST:
            return
        forms = {form for form in _forms(value) if form not in STRUCK}
        if not forms <= self._forms:
            self._forms |= forms
            self._longest_first = tuple(sorted(self._forms, key=len, reverse=True))
            self._pattern = re.compile("|".join(map(re.escape, self._longest_first)))

    def text(self, text: str) -> str:
        """The text without the secrets that are known."""
        # Nearly no text holds one, and to search for words is much faster than to match a pattern at every place.
        if len(text) < SHORTEST or self._pattern is None or not any(map(text.__contains__, self._longest_first)):
            return text
        return self._pattern.sub(STRUCK, text)

    def value(self, value: Any) -> Any:
        """A JSON value without secrets: the same object where there are none in it. Its shape stays as it is."""
        return self._struck(value, hidden=False)

    def settled(self, text: str) -> int:
        """How many characters may be told now; the rest may be the beginning of a secret that is still being said."""
        cut = len(text) - max((_overlap(text, form) for form in self._forms), default=0)
        for found in self._pattern.finditer(text) if self._pattern is not None else ():
            if found.start() < cut < found.end():
                return found.start()
        return cut

    def _struck(self, value: Any, *, hidden: bool) -> Any:
        """``hidden``: a name further out says that all of it is secret. One frame a level: values may be deep."""
        if isinstance(value, str):
            return STRUCK if hidden and value else self.text(value)
        if value is None or isinstance(value, bool):
            return value
        if is_object(value):
            members: dict[str, Any] = {}
            changed = False
            for name, item in value.items():
                struck = self._struck(item, hidden=hidden or looks_secret(name))
                shown = self.text(name)
                members[shown] = struck
                changed = changed or struck is not item or shown != name
            return members if changed else value
        if is_array(value):
            items: list[Any] = []
            for item in value:
                items.append(self._struck(item, hidden=hidden))  # noqa: PERF401 - a comprehension is a frame more
            return value if all(map(operator.is_, items, value)) else items
        return STRUCK if hidden else value


def secrets_of(settings: msgspec.Struct) -> list[str]:
    """The settings whose names say that they are secret, and the passwords in addresses."""
    found: list[str] = []
    for field in msgspec.structs.fields(settings):
        value = getattr(settings, field.name)
        if not isinstance(value, str):
            continue
        if looks_secret(field.name):
            found.append(value)
        for password in cast("list[str]", _USERINFO.findall(value)):
            found += [password, unquote(password)]
    return found


def _forms(value: str) -> set[str]:
    in_json = (msgspec.json.encode(value).decode()[1:-1], value.encode("ascii", "backslashreplace").decode())
    encoded = base64.b64encode(value.encode(errors="replace")).decode().rstrip("=")
    return {value, *in_json, quote(value, safe="", errors="replace"), encoded}


def _overlap(text: str, form: str) -> int:
    """The longest end of the text that the form begins with, but is not the whole form."""
    most = min(len(text), len(form) - 1)
    return next((size for size in range(most, 0, -1) if text.endswith(form[:size])), 0)
