"""Checks of single values, and of objects by a table of their fields. What fits is silent."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from station.core.codes import Code
from station.core.findings import Findings, nearest_hint
from station.core.jsonvalue import is_array, is_number, is_object, json_type, pointer_token
from station.core.labels import ADVICE, misnamed
from station.core.paths import PathError, parse_path

Check: TypeAlias = Callable[[Findings, Any, str], None]
"""Looks at the value at a JSON pointer and notes what is wrong with it."""

MAX_NAME_CHARACTERS = 200
MAX_SECONDS = 10 * 366 * 24 * 3600

_ONE_PLACEHOLDER = re.compile(r"\s*\{\{[^{}]*\}\}\s*")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\"\\]")


class Field(NamedTuple):
    """One field of an object."""

    check: Check
    required: bool = False


def check_object(findings: Findings, data: Any, pointer: str, fields: Mapping[str, Field], what: str) -> bool:
    """Check an object by its table; False if it is none."""
    if not is_object(data):
        wrong_type(findings, data, pointer, "object", what)
        return False
    for name, value in data.items():
        place = f"{pointer}/{pointer_token(name)}"
        if name in fields:
            fields[name].check(findings, value, place)
        elif name == "timeout":
            hint = 'write timeoutSeconds, or a duration such as "90s", "2m" or "1h30m"'
            findings.error(
                Code.BAD_DURATION, place, f"{shown(value)} is not a duration, or timeoutSeconds is there too", hint
            )
        else:
            findings.error(Code.UNKNOWN_FIELD, place, f"{what} has no field {name!r}", nearest_hint(name, fields))
    for name, field in fields.items():
        if field.required and name not in data:
            code = Code.MISSING_NAME if name == "name" else Code.MISSING_FIELD
            findings.error(code, pointer, f"{what} needs the field {name!r}", f"add {name!r}")
    return True


def wrong_type(findings: Findings, value: Any, pointer: str, expected: str, what: str | None = None) -> None:
    """Note a value of another type than expected."""
    hint = None
    if value is None:
        hint = "give it a value or leave the field out"
    elif isinstance(value, str) and expected == "boolean":
        hint = "write true or false, in lower case and without quotes"
    elif isinstance(value, str) and expected in ("number", "integer"):
        hint = "write a number without quotes"
    elif expected == "string":
        hint = "put it in quotes"
    subject = f"{what} must be" if what else "must be"
    findings.error(Code.WRONG_TYPE, pointer, f"{subject} {_article(expected)}, not {shown(value)}", hint)


def anything(_findings: Findings, _value: Any, _pointer: str) -> None:
    """Take any JSON value."""


def text(findings: Findings, value: Any, pointer: str) -> None:
    """Take any text."""
    if not isinstance(value, str):
        wrong_type(findings, value, pointer, "string")


def non_empty(findings: Findings, value: Any, pointer: str) -> None:
    """Take text that is not blank."""
    if not isinstance(value, str):
        wrong_type(findings, value, pointer, "string")
    elif not value.strip():
        findings.error(Code.BAD_VALUE, pointer, "must not be empty")


def name(findings: Findings, value: Any, pointer: str) -> None:
    """Take the name of a state, a branch or a target."""
    if not isinstance(value, str):
        wrong_type(findings, value, pointer, "string")
    elif not value.strip():
        findings.error(Code.MISSING_NAME, pointer, "a name must not be empty")
    elif value != value.strip() or len(value) > MAX_NAME_CHARACTERS or _UNPRINTABLE.search(value):
        hint = f'at most {MAX_NAME_CHARACTERS} characters, without quotes, "\\", line breaks or spaces around it'
        findings.error(Code.BAD_VALUE, pointer, f"{shown(value)} cannot be a name", hint)


def boolean(findings: Findings, value: Any, pointer: str) -> None:
    """Take true or false."""
    if not isinstance(value, bool):
        wrong_type(findings, value, pointer, "boolean")


def json_object(findings: Findings, value: Any, pointer: str) -> None:
    """Take an object."""
    if not is_object(value):
        wrong_type(findings, value, pointer, "object")


def number(*, least: float = -math.inf, above: float = -math.inf, most: float = MAX_SECONDS) -> Check:
    """Take a number within bounds; `above` itself is not taken."""

    def check(findings: Findings, value: Any, pointer: str) -> None:
        if not is_number(value):
            wrong_type(findings, value, pointer, "number")
        elif value < least or value <= above or value > most:
            lower = f"at least {least:g}" if least > above else f"more than {above:g}"
            findings.error(Code.BAD_VALUE, pointer, f"must be {lower} and at most {most:.10g}, not {shown(value)}")

    return check


def integer(*, least: int, most: int = 1_000_000) -> Check:
    """Take a whole number within bounds."""

    def check(findings: Findings, value: Any, pointer: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            wrong_type(findings, value, pointer, "integer")
        elif not least <= value <= most:
            findings.error(Code.BAD_VALUE, pointer, f"must be at least {least} and at most {most}, not {value}")

    return check


def list_of(check_item: Check, *, least: int = 0) -> Check:
    """Take a list whose members all pass."""

    def check(findings: Findings, value: Any, pointer: str) -> None:
        if not is_array(value):
            wrong_type(findings, value, pointer, "array")
            return
        for index, item in enumerate(value):
            check_item(findings, item, f"{pointer}/{index}")
        if len(value) < least:
            findings.error(Code.BAD_VALUE, pointer, f"must have at least {least} member{'s' if least > 1 else ''}")

    return check


def one_of(known: Iterable[str], code: Code, what: str) -> Check:
    """Take one of a few texts; anything else is noted under `code` with the nearest."""
    names = tuple(known)

    def check(findings: Findings, value: Any, pointer: str) -> None:
        if not isinstance(value, str):
            wrong_type(findings, value, pointer, "string")
        elif value not in names:
            findings.error(code, pointer, f"there is no {what} {value!r}", nearest_hint(value, names))

    return check


def labels(findings: Findings, value: Any, pointer: str) -> None:
    """Take an object of texts whose names a filter can say."""
    if not is_object(value):
        wrong_type(findings, value, pointer, "object")
        return
    for key, label in value.items():
        place = f"{pointer}/{pointer_token(key)}"
        text(findings, label, place)
        if (why := misnamed(key)) is not None:
            findings.error(Code.BAD_VALUE, place, why, ADVICE)


def path(findings: Findings, value: Any, pointer: str) -> None:
    """Take a path into the context."""
    if not isinstance(value, str):
        wrong_type(findings, value, pointer, "string")
        return
    try:
        parse_path(value)
    except PathError as error:
        hint = "names joined by dots, such as steps.check.result"
        if "{{" in value:
            hint = "write the path alone, without {{ and }}"
        findings.error(Code.BAD_PATH, pointer, str(error), hint)


def templated(check_literal: Check) -> Check:
    """Take what passes, or a text that is exactly one placeholder: its value is known only when it runs."""

    def check(findings: Findings, value: Any, pointer: str) -> None:
        if not is_placeholder(value):
            check_literal(findings, value, pointer)

    return check


def is_placeholder(value: Any) -> bool:
    """Tell whether a value is exactly one `{{ path }}`."""
    return isinstance(value, str) and _ONE_PLACEHOLDER.fullmatch(value) is not None


def shown(value: Any) -> str:
    """Write a value for a message, in short."""
    if isinstance(value, str):
        return repr(value if len(value) <= MAX_NAME_CHARACTERS else value[:MAX_NAME_CHARACTERS] + "…")
    if value is None or isinstance(value, bool):
        return json_type(value) if value is None else str(value).lower()
    if is_number(value):
        return f"{value}" if abs(value) < MAX_SECONDS * MAX_SECONDS else "a number that large"
    return _article(json_type(value))


def _article(kind: str) -> str:
    kind = {"string": "text", "array": "list"}.get(kind, kind)
    if kind == "text":
        return kind
    return f"an {kind}" if kind[0] in "aeio" else f"a {kind}"
