from pathlib import Path

import pytest

from station.agent_runner.backends.registry import all_backends
from station.agent_runner.catalog import Catalog, load_catalog
from station.agent_runner.prompts import history_of, render
from station.contracts.errors import ErrorType
from tests.support.agent_files import ENVIRONMENT, load_agent, write_agent
from tests.support.backend_conformance import execute

SCRIPT = "model: scripted\nscripted: [{answer: hello}]\n"


async def loaded(root: Path, front_matter: str) -> Catalog:
    write_agent(root, "a", f"---\n{SCRIPT}{front_matter}\n---\n")
    return await load_catalog(root, all_backends())


@pytest.mark.parametrize(
    ("front_matter", "words"),
    [
        ("outptu: {}", "`outptu` is not read by anything; did you mean `output`?"),
        ("maxSteps: 3\nmax_step: 3", "`max_step` is not read by anything; did you mean `max_steps`?"),
        ("colour: red", "`colour` is not read by anything; there are: agents, "),
        ("input: {schemas: {}}", "`input.schemas` is not read by anything; did you mean `input.schema`?"),
    ],
)
async def test_a_name_that_nobody_reads_is_a_problem_and_the_agent_is_there(
    tmp_path: Path, front_matter: str, words: str
) -> None:
    catalog = await loaded(tmp_path, front_matter)
    (problem,) = catalog.problems
    assert (problem.code, problem.path) == ("unknown_field", f"{ENVIRONMENT}/agents/a.prompt")
    assert words in problem.message
    assert catalog.find(ENVIRONMENT, "a") is not None


async def test_what_can_be_said_to_a_model_may_stand_in_the_file_of_any_agent(tmp_path: Path) -> None:
    text = (
        "config: {temperature: 2, thinking: max, stopSequences: [x], parallel_tool_calls: false}\noutput: {retries: 0}"
    )
    assert (await loaded(tmp_path, text)).problems == ()


async def test_what_dotprompt_defines_and_extensions_with_a_dot_are_no_problem(tmp_path: Path) -> None:
    text = "name: x\nvariant: v\nversion: '1'\ndescription: d\ntools: []\ntoolDefs: []\nmetadata: {}\nacme.note: 7"
    assert (await loaded(tmp_path, text)).problems == ()


@pytest.mark.parametrize(
    ("front_matter", "words"),
    [
        ("output: {format: text, schema: string}", "`output.format` is text, but there is an `output.schema`"),
        ("output: {format: xml}", "`output.format` must be one of json, text, not 'xml'"),
        ("output: {schema: Report}", "`output.schema` names 'Report', which is no type of Picoschema"),
        ("input: {schema: {pod: Pod}}", "`input.schema` names 'Pod', which is no type of Picoschema"),
        ("input: {schema: {pod(list): string}}", "`input.schema` is neither JSON Schema nor Picoschema"),
        ("input: text", "line 4, column 8: the value in `input: text` is of the wrong type"),
        ("input: {default: [1]}", "the value in `input: {default: [1]}` is of the wrong type"),
        ("config: {bogus: 1}", "`config.bogus` is nothing that can be said to a model"),
        ("config: {temprature: 1}", "did you mean `temperature`"),
        ("config: {temperature: 2.5}", "`config.temperature`: Expected `float` <= 2"),
        ("config: {temperature: .inf}", "`config.temperature`"),
        ("config: {presencePenalty: -3}", "`config.presencePenalty`"),
        ("config: {thinking: hard}", "`config.thinking`"),
        ("config: {seed: true}", "`config.seed`"),
        ("config: {max_tokens: 1, maxOutputTokens: 2}", "twice"),
        ("output: {retries: many}", "`output.retries`"),
        ("output: {retries: 11}", "`output.retries`"),
        ("config: 7", "the value in `config: 7` is of the wrong type"),
    ],
)
async def test_what_cannot_be_used_keeps_the_agent_out(tmp_path: Path, front_matter: str, words: str) -> None:
    catalog = await loaded(tmp_path, front_matter)
    (problem,) = catalog.problems
    assert problem.code == "agent_invalid"
    assert words in problem.message
    assert catalog.find(ENVIRONMENT, "a") is None


def program(answer: str) -> str:
    return f"model: exec\nexec: {{command: [echo, '{answer}']}}\n"


async def test_format_json_asks_for_json_of_any_kind(tmp_path: Path) -> None:
    promise = "output: {format: json}\n"
    assert (await execute(tmp_path, program('[1, "two"]') + promise)).output == [1, "two"]
    assert (await execute(tmp_path, program("17") + promise)).output == 17
    assert (await execute(tmp_path, program("17"))).output == "17", "without the promise it stays text"
    error = (await execute(tmp_path, program("hello") + promise)).error
    assert error is not None
    assert error.type is ErrorType.VALIDATION
    assert "promises JSON" in error.message
    assert error.retryable


async def test_a_task_that_is_not_given_is_no_variable(tmp_path: Path) -> None:
    agent = await load_agent(tmp_path, "a", f"---\n{SCRIPT}---\n{{{{json this}}}}\n")
    assert await render(agent.prompt, None, {"a": 1}) == '{"a":1}'
    assert await render(agent.prompt, "look", {}) == '{"task":"look","userInput":"look"}'


async def test_a_variable_with_an_at_sign_is_what_the_body_calls_so(tmp_path: Path) -> None:
    agent = await load_agent(tmp_path, "a", f"---\n{SCRIPT}---\n{{{{@state.count}}}} of {{{{all}}}}\n")
    assert await render(agent.prompt, None, {"@state": {"count": 3}, "all": 7}) == "3 of 7"


async def test_media_are_left_out_of_the_text(tmp_path: Path) -> None:
    body = 'Look: {{media url="data:image/png;base64,AAAA"}} what is it?'
    agent = await load_agent(tmp_path, "a", f"---\n{SCRIPT}---\n{body}\n")
    text = await render(agent.prompt, None, {})
    assert "AAAA" not in text
    assert text.startswith("Look:")
    assert text.endswith("what is it?")


@pytest.mark.parametrize("given", ["hi", [{"role": "judge", "text": "x"}], [{"role": "user"}], [7]])
def test_a_history_of_another_shape_is_said(given: object) -> None:
    with pytest.raises(ValueError, match="`history"):
        history_of({"history": given})
