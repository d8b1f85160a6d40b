"""Structured output: a model is steered with the agent's schema, and our own validator decides.

The library's way takes objects only, and no schema that refers to itself; what it does not take is put into a box, or
told in words.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from pydantic_ai import NativeOutput, StructuredDict, ToolOutput
from pydantic_ai.exceptions import UserError

from station.agent_runner.backends.protocol import Answer
from station.core.jsonvalue import is_array, is_object

BOX = "value"
TOOL = "final_result"
OPENINGS = ("$schema", "$id", "$comment")
"""Of a schema's root; they steer nobody."""


class Wanted(Struct, frozen=True):
    """What a model is asked to answer."""

    output_type: Any
    """As the library takes it."""
    boxed: bool = False
    """The answer is in a box, as the member `BOX` of an object."""
    structured: bool = False

    def answer(self, output: Any) -> Answer:
        """The answer in a model's output."""
        if not self.structured:
            return Answer(text=output)
        return Answer(value=output.get(BOX) if self.boxed else dict(output))

    def box(self, value: Any) -> dict[str, Any] | None:
        """A JSON value as arguments of the output tool; None if it is nothing that fits."""
        if not self.boxed:
            return value if is_object(value) else None
        return value if is_object(value) and set(value) == {BOX} else {BOX: value}


TEXT = Wanted(str)


def wanted(schema: dict[str, Any] | None, *, native: bool) -> Wanted:
    """How to ask for what a schema describes; ``native``: the server itself holds its model to a schema."""
    if schema is None:
        return TEXT
    steering, boxed = _steering(schema)
    try:
        structured = StructuredDict(steering)
    except UserError:
        structured, boxed = StructuredDict(_in_words(schema)), True
    if native:
        return Wanted(NativeOutput(structured, name="answer"), boxed, structured=True)
    description = "Gives the answer; call it when the work is done, and then only once."
    return Wanted(ToolOutput(structured, name=TOOL, description=description), boxed, structured=True)


def _steering(schema: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    body = {name: copy.deepcopy(value) for name, value in schema.items() if name not in OPENINGS}
    if any(not reference.startswith("#/$defs/") for reference in _references(body)):
        return _in_words(schema), True
    if body.get("type") == "object" or ("type" not in body and "properties" in body):
        return {**body, "type": "object"}, False
    definitions = {"$defs": body.pop("$defs")} if "$defs" in body else {}
    return {**_boxed(body), **definitions}, True


def _in_words(schema: dict[str, Any]) -> dict[str, Any]:
    return _boxed({"description": f"It keeps this JSON Schema: {msgspec.json.encode(schema).decode()}"})


def _boxed(body: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {BOX: dict(body)}, "required": [BOX], "additionalProperties": False}


def _references(value: Any) -> Iterator[str]:
    if is_object(value):
        reference = value.get("$ref")
        if isinstance(reference, str):
            yield reference
        for member in value.values():
            yield from _references(member)
    elif is_array(value):
        for member in value:
            yield from _references(member)
