"""The JSON Schemas of all messages: one file each, and the components that the AsyncAPI document shares."""

from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any

import msgspec

from station.contracts.catalog import MESSAGES, RUN_EVENTS
from station.contracts.events import EVENT_TYPES, PublishedEvent
from tests.support.documents import docstrings

Schema = dict[str, Any]
FOLDER = "contracts/schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def components(types: tuple[type[msgspec.Struct], ...], place: str) -> dict[str, Schema]:
    """The schemas of these types and of all that is inside them, by name; ``place`` begins every reference."""
    _, found = msgspec.json.schema_components(types, ref_template=place + "{name}")
    return {name: _described(schema, docstrings.types()[name]) for name, schema in found.items()}


def event_schema(name: str, envelope: Schema, place: str) -> Schema:
    """The schema of one type of event: the envelope, with its type, its data and whether there is a step."""
    about_step = name not in RUN_EVENTS
    step = {"type": "string" if about_step else "null"}
    told = {"type": {"const": name}, "data": {"$ref": place + EVENT_TYPES[name].__name__}, "stepId": step}
    required = [*envelope["required"], *(["stepId"] if about_step else [])]
    about = docstrings.of_class(EVENT_TYPES[name]) or envelope["description"]
    properties = {**envelope["properties"], **told}
    return {**envelope, "title": name, "description": about, "properties": properties, "required": required}


def message_document(kind: type[msgspec.Struct]) -> str:
    """The file of one message."""
    place = "#/$defs/"
    return written({"$schema": DIALECT, "$ref": place + kind.__name__, "$defs": components((kind,), place)})


def event_document(name: str) -> str:
    """The file of one type of event."""
    place = "#/$defs/"
    parts = components((PublishedEvent, EVENT_TYPES[name]), place)
    envelope = parts.pop(PublishedEvent.__name__)
    return written({"$schema": DIALECT, **event_schema(name, envelope, place), "$defs": parts})


def written(document: Schema) -> str:
    """A document as its file holds it."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


DOCUMENTS: dict[str, Callable[[], str]] = {
    **{f"{FOLDER}/{kind.__name__}.json": partial(message_document, kind) for kind in MESSAGES},
    **{f"{FOLDER}/events/{name}.json": partial(event_document, name) for name in EVENT_TYPES},
}


def _described(schema: Schema, kind: type) -> Schema:
    """The schema with what the source says of the type, its fields and its members."""
    about = {} if (text := docstrings.of_class(kind)) is None else {"description": text}
    if issubclass(kind, Enum):
        told = docstrings.of_members(kind)
        lines = [f"* `{member.value}`: {told[member.name]}" for member in kind if member.name in told]
        return {**schema, "description": "\n".join([about.get("description", kind.__name__), "", *lines]).strip()}
    told = docstrings.of_members(kind)
    fields = {field.encode_name: told.get(field.name) for field in msgspec.structs.fields(kind)}
    properties = {name: _with_text(field, fields[name]) for name, field in schema["properties"].items()}
    return {**schema, **about, "properties": properties}


def _with_text(schema: Schema, text: str | None) -> Schema:
    if text is None:
        return schema
    # A neighbour of `$ref` is ignored in older drafts, which AsyncAPI reads.
    return {"allOf": [schema], "description": text} if "$ref" in schema else {**schema, "description": text}
