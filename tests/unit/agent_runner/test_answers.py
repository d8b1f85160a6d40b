from pathlib import Path

import pytest

from station.agent_runner.backends.protocol import Answer
from station.agent_runner.failures import AttemptFailed
from station.agent_runner.inputs import prepare
from station.agent_runner.outputs import interpret
from station.contracts.errors import ErrorType
from tests.support.agent_files import load_agent

PLAIN = "---\nmodel: scripted\nscripted: [{answer: 1}]\n---\n"
STRICT = "---\nmodel: scripted\nscripted: [{answer: 1}]\noutput: {schema: {type: object, required: [a]}}\n---\n"


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ('{"a": 1}', {"a": 1}),
        (" [1, 2] \n", [1, 2]),
        ("42", "42"),
        ('"text"', '"text"'),
        ("", ""),
        ('see: {"a": 1}', 'see: {"a": 1}'),
        ('```json\n{"a": 1}\n```', '```json\n{"a": 1}\n```'),
    ],
)
async def test_without_a_schema_json_is_an_object_or_a_list_that_is_the_whole_answer(
    tmp_path: Path, text: str, output: object
) -> None:
    assert interpret(Answer(text), await load_agent(tmp_path, "a", PLAIN), limit=1000)[0] == output


@pytest.mark.parametrize(
    "text",
    ['{"a": 1}', '```json\n{"a": 1}\n```', 'Here it is:\n```\n{"a": 1}\n```\nDone.', '```JSON\r\n{"a": 1}\r\n```'],
)
async def test_with_a_schema_one_fenced_block_is_accepted(tmp_path: Path, text: str) -> None:
    assert interpret(Answer(text), await load_agent(tmp_path, "a", STRICT), limit=1000) == ({"a": 1}, 7)


@pytest.mark.parametrize(
    "text",
    ["", "no", '```\n{"a": 1}\n```\n```\n{"a": 2}\n```', '{"b": 1}', '```json\n{"b": 1}\n```', "[" * 5000, "1e999"],
)
async def test_with_a_schema_everything_else_is_a_validation_error_that_may_be_retried(
    tmp_path: Path, text: str
) -> None:
    agent = await load_agent(tmp_path, "a", STRICT)
    with pytest.raises(AttemptFailed) as failed:
        interpret(Answer(text), agent, limit=1000)
    assert (failed.value.error.type, failed.value.error.retryable) == (ErrorType.VALIDATION, True)


async def test_a_number_that_the_bus_cannot_carry_is_a_validation_error(tmp_path: Path) -> None:
    agent = await load_agent(tmp_path, "a", PLAIN)
    with pytest.raises(AttemptFailed, match="answer it as text"):
        interpret(Answer('{"a": 1' + "0" * 30 + "}"), agent, limit=1000)


async def test_an_answer_of_exactly_the_limit_fits_and_one_byte_more_does_not(tmp_path: Path) -> None:
    agent = await load_agent(tmp_path, "a", PLAIN)
    assert interpret(Answer("x" * 98), agent, limit=100) == ("x" * 98, 100)
    with pytest.raises(AttemptFailed, match="STATION_MAX_OUTPUT_BYTES") as failed:
        interpret(Answer("x" * 99), agent, limit=100)
    assert failed.value.error.type is ErrorType.PAYLOAD_TOO_LARGE


def asking_for(properties: str) -> str:
    schema = f"{{type: object, additionalProperties: false, properties: {properties}}}"
    default = "default: {days: 3}, " if "days" in properties else ""
    return f"---\nmodel: scripted\nscripted: [{{answer: 1}}]\ninput: {{{default}schema: {schema}}}\n---\n"


async def test_the_task_goes_where_the_schema_asks_for_it(tmp_path: Path) -> None:
    agent = await load_agent(tmp_path, "a", asking_for("{task: {type: string}, days: {type: integer}}"))
    assert prepare(agent, "look", {}) == {"task": "look", "days": 3}
    assert prepare(agent, "look", {"task": "mine", "days": 1}) == {"task": "mine", "days": 1}
    agent = await load_agent(tmp_path, "b", asking_for("{userInput: {type: string}}"))
    assert prepare(agent, "look", {}) == {"userInput": "look"}
    assert prepare(agent, None, {}) == {}
    agent = await load_agent(tmp_path, "c", asking_for("{}"))
    assert prepare(agent, "look", {}) == {}
    with pytest.raises(AttemptFailed, match=r"'c' break its input schema: .*extra"):
        prepare(agent, "look", {"extra": 1})
