"""The JSON Schemas and the AsyncAPI document hold what is really sent, and hang together."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from station.contracts.catalog import CATALOG, MESSAGES, Kind
from station.contracts.events import EVENT_TYPES
from tests.support import goldens
from tests.support.documents import docstrings, schemas
from tests.support.documents.subjects import channel_of
from tests.support.examples import EVENTS, type_of
from tests.support.examples import MESSAGES as EXAMPLES
from tests.support.generate import ROOT

ASYNCAPI = msgspec.json.decode((ROOT / "contracts/asyncapi.json").read_bytes())
FILES = sorted((ROOT / schemas.FOLDER).rglob("*.json"))
SENT = {message.__name__ for message in MESSAGES}
"""Inputs and outputs of actions have goldens too, but no message of their own."""


def resolved(document: Any, reference: str) -> Any:
    """What a local reference points at. Raises KeyError when there is nothing."""
    assert reference.startswith("#/"), reference
    found = document
    for part in reference[2:].split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def references(node: Any) -> Iterator[str]:
    """Every reference of a document, wherever it stands."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for name, value in node.items():
            if name != "examples":
                yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def loaded(path: Path) -> Any:
    return msgspec.json.decode(path.read_bytes())


def golden(name: str) -> Any:
    return loaded(goldens.path_of(name, ".json"))


def test_there_is_a_schema_for_each_message_and_event_and_for_nothing_else() -> None:
    assert {str(path.relative_to(ROOT)) for path in FILES} == set(schemas.DOCUMENTS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_schema_is_one_and_all_its_references_resolve(path: Path) -> None:
    document = loaded(path)
    jsonschema.Draft202012Validator.check_schema(document)
    for reference in references(document):
        resolved(document, reference)


@pytest.mark.parametrize("name", [*(name for name in EXAMPLES if type_of(name) in SENT), *EVENTS])
def test_a_golden_fits_its_schema_and_a_damaged_one_does_not(name: str) -> None:
    kind = type_of(name)
    file = f"events/{kind}.json" if name in EVENTS else f"{kind}.json"
    validator = jsonschema.Draft202012Validator(loaded(ROOT / schemas.FOLDER / file))
    message = golden(name)
    validator.validate(message)
    assert not validator.is_valid([message])
    for field in required(name):
        assert not validator.is_valid({key: value for key, value in message.items() if key != field}), field


def required(name: str) -> set[str]:
    """What a message cannot do without, as its struct says."""
    return {field.encode_name for field in msgspec.structs.fields(goldens.struct_of(name)) if field.required}


def test_an_event_of_one_type_does_not_fit_the_schema_of_another() -> None:
    for name in EVENT_TYPES:
        validator = jsonschema.Draft202012Validator(loaded(ROOT / schemas.FOLDER / f"events/{name}.json"))
        assert [other for other in EVENT_TYPES if validator.is_valid(golden(other))] == [name]


def test_what_is_written_under_a_field_is_in_its_schema() -> None:
    described = loaded(ROOT / schemas.FOLDER / "StartRun.json")["$defs"]["StartRun"]["properties"]
    assert "the workflow's own" in described["environment"]["description"]
    statuses = loaded(ROOT / schemas.FOLDER / "RunView.json")["$defs"]["RunStatus"]["description"]
    assert "* `PAUSED`: An operator holds it." in statuses
    inherited = docstrings.of_members(docstrings.types()["RunView"])
    assert {"waiting_for", "last_seq"} <= set(inherited)


def test_every_reference_of_the_asyncapi_document_resolves() -> None:
    found = list(references(ASYNCAPI))
    assert found
    for reference in found:
        resolved(ASYNCAPI, reference)


def test_every_subject_is_a_channel_with_its_parameters_and_messages() -> None:
    channels = ASYNCAPI["channels"]
    assert {channel["address"] for channel in channels.values()} == {*(one.subject for one in CATALOG), None}
    assert len(channels) == len(CATALOG) + 1
    for name, channel in channels.items():
        assert re.fullmatch(r"[A-Za-z0-9_\-]+", name)
        assert channel["messages"]
        assert set(re.findall(r"\{(\w+)\}", channel["address"] or "")) == set(channel.get("parameters", {}))


def test_every_request_is_received_by_one_service_and_replied_to() -> None:
    operations = ASYNCAPI["operations"]
    for exchange in CATALOG:
        channel = channel_of(exchange)
        here = [one for one in operations.values() if one["channel"]["$ref"] == f"#/channels/{channel}"]
        receivers = [one for one in here if one["action"] == "receive"]
        assert here
        assert {one["tags"][0]["name"] for one in receivers} == set(exchange.takers) - {"cli", "external"}
        if exchange.kind is Kind.REQUEST:
            assert exchange.answer is not None
            answers = [reference["$ref"].rpartition("/")[2] for reference in receivers[0]["reply"]["messages"]]
            assert answers == [exchange.answer.__name__, "Failure"]


def test_an_operation_uses_only_messages_of_its_channel() -> None:
    for operation in ASYNCAPI["operations"].values():
        for part in (operation, operation.get("reply", operation)):
            place = part["channel"]["$ref"] + "/messages/"
            assert part["messages"]
            assert all(message["$ref"].startswith(place) for message in part["messages"])


def test_every_message_of_the_asyncapi_document_has_headers_a_payload_and_a_fitting_example() -> None:
    messages = ASYNCAPI["components"]["messages"]
    assert set(messages) == (SENT - {"PublishedEvent"}) | set(EVENT_TYPES)
    for message in messages.values():
        resolved(ASYNCAPI, message["headers"]["$ref"])
        validator = jsonschema.Draft202012Validator({**message["payload"], "components": ASYNCAPI["components"]})
        for example in message["examples"]:
            validator.validate(example["payload"])


def test_every_schema_of_the_asyncapi_document_is_used() -> None:
    used = {reference.rpartition("/")[2] for reference in references(ASYNCAPI)}
    assert set(ASYNCAPI["components"]["schemas"]) <= used
