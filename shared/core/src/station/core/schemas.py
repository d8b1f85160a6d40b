"""JSON Schema: which schemas are accepted, and how values are judged by them.

Schemas come from users, so nothing is ever fetched, patterns run in an engine that takes linear time, and
size and depth are bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NoReturn, TypeAlias, cast

import jsonschema_rs
import msgspec

from station.contracts.problems import Problem
from station.core.codes import Code
from station.core.jsonvalue import is_array, is_object, pointer_token

MAX_SCHEMA_BYTES = 64 * 1024
MAX_SCHEMA_NESTING = 64
MAX_MESSAGE_CHARACTERS = 300

Validator: TypeAlias = jsonschema_rs.Validator

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_VALUES_NOT_SCHEMAS = ("const", "enum", "default", "examples")


class SchemaError(ValueError):
    """A schema that cannot be compiled."""


def check_schema(schema: Any) -> list[Problem]:
    """List what is wrong with a schema; paths are JSON pointers into it."""
    try:
        size = len(msgspec.json.encode(schema))
    except RecursionError:
        return [_problem("", f"the schema is nested more than {MAX_SCHEMA_NESTING} deep")]
    if size > MAX_SCHEMA_BYTES:
        return [_problem("", f"the schema has {size} bytes; {MAX_SCHEMA_BYTES} are allowed")]
    if _depth_exceeds(schema, MAX_SCHEMA_NESTING):
        return [_problem("", f"the schema is nested more than {MAX_SCHEMA_NESTING} deep")]
    problems = [*_meta_problems(schema), *_own_problems(schema, "")]
    if not problems:
        try:
            compile_schema(schema)
        except SchemaError as error:
            problems.append(_problem("", str(error)))
    return problems


def compile_schema(schema: Any) -> Validator:
    """Make a validator of a schema. Raises SchemaError; it never fetches a reference."""
    try:
        return jsonschema_rs.validator_for(
            schema, validate_formats=True, retriever=_refuse, pattern_options=jsonschema_rs.RegexOptions()
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        message = error.message if isinstance(error, jsonschema_rs.ValidationError) else str(error)
        raise SchemaError(_short(message)) from None


def violations(validator: Validator, value: Any, limit: int = 20) -> list[Problem]:
    """List where a value breaks its schema, at most `limit` places; empty if it keeps it."""
    return [
        Problem("schema", _pointer(error.instance_path), _short(error.message))
        for error in islice(validator.iter_errors(value), limit)
    ]


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"only references within the schema are followed, not {uri}")


def _meta_problems(schema: Any) -> Iterator[Problem]:
    # A twentieth of a second that only whoever checks a schema has to pay, and no service at its start.
    from jsonschema import Draft202012Validator  # noqa: PLC0415
    from jsonschema.validators import validator_for  # noqa: PLC0415

    language = schema.get("$schema") if is_object(schema) else None
    validator: Any = Draft202012Validator
    if isinstance(language, str):
        validator = cast("Any", validator_for)(schema, default=None)
    if validator is None:
        yield _problem("/$schema", f"the schema language {language!r} is not known", "use draft 2020-12 or 7")
        return
    meta = validator(validator.META_SCHEMA)
    for error in meta.iter_errors(schema):
        yield _problem(_pointer(error.absolute_path), str(error.message))


def _own_problems(schema: Any, pointer: str) -> Iterator[Problem]:
    if is_array(schema):
        for index, member in enumerate(schema):
            yield from _own_problems(member, f"{pointer}/{index}")
    elif is_object(schema):
        for name, member in schema.items():
            place = f"{pointer}/{pointer_token(name)}"
            if name in _REFERENCES and isinstance(member, str) and not member.startswith("#"):
                yield _problem(
                    place, f"{member!r} is outside of this schema", 'put it under "$defs" and refer to "#/$defs/…"'
                )
            elif name == "pattern" and isinstance(member, str):
                yield from _pattern_problems(member, place)
            elif name not in _VALUES_NOT_SCHEMAS:
                if name == "patternProperties" and is_object(member):
                    for pattern in member:
                        yield from _pattern_problems(pattern, f"{place}/{pointer_token(pattern)}")
                yield from _own_problems(member, place)


def _pattern_problems(pattern: str, place: str) -> Iterator[Problem]:
    try:
        compile_schema({"pattern": pattern})
    except SchemaError:
        hint = "look-around and back-references are not there, and the pattern must stay small"
        yield _problem(place, f"{_short(pattern)!r} is not a regular expression that runs in linear time", hint)


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit + 1):
        level = [
            member
            for container in level
            if is_object(container) or is_array(container)
            for member in (container.values() if is_object(container) else container)
        ]
        if not level:
            return False
    return True


def _pointer(path: Any) -> str:
    return "".join(f"/{pointer_token(token)}" for token in path)


def _short(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE_CHARACTERS else message[:MAX_MESSAGE_CHARACTERS] + "…"


def _problem(path: str, message: str, hint: str | None = None) -> Problem:
    return Problem(Code.BAD_SCHEMA.value, path, _short(message), hint)
