import asyncio
from pathlib import Path

import msgspec
import pytest

from station.agent_runner.backends.registry import all_backends
from station.agent_runner.catalog import Catalog, load_catalog
from station.agent_runner.executors.agent_run import AgentRun
from station.agent_runner.prompts import history_of, render, render_messages, text_of
from station.contracts.errors import ErrorType
from tests.support.agent_files import found_in, load_agent, write_agent
from tests.support.backend_conformance import held_for

DATA = Path(__file__).parents[2] / "data" / "agents_runner"


async def load(root: Path) -> Catalog:
    return await load_catalog(root, all_backends())


async def test_a_folder_of_environments_is_read_and_what_is_wrong_in_it_is_told() -> None:
    catalog = await load(DATA)
    assert catalog.environments == ("empty", "test")
    assert sorted(catalog.agents) == [
        ("test", "kubernetes-triage"),
        ("test", "named-inside"),
        ("test", "not-yet"),
        ("test", "pico"),
    ]
    told = {(problem.code, problem.path): f"{problem.message} | {problem.hint}" for problem in catalog.problems}
    assert sorted(told) == [
        ("agent_invalid", "test/agents/bad-body.prompt"),
        ("agent_invalid", "test/agents/bad-schema.prompt"),
        ("agent_invalid", "test/agents/bad-yaml.prompt"),
        ("agent_invalid", "test/agents/no-front-matter.prompt"),
        ("agent_invalid", "test/agents/no-model.prompt"),
        ("duplicate_agent", "test/agents/twin-a.prompt"),
        ("duplicate_agent", "test/agents/twin-b.prompt"),
        ("unknown_model", "test/agents/not-yet.prompt"),
    ]
    assert "line 4" in told["agent_invalid", "test/agents/bad-yaml.prompt"]
    assert "Missing helper" in told["agent_invalid", "test/agents/bad-body.prompt"]
    assert "/properties/a" in told["agent_invalid", "test/agents/bad-schema.prompt"]
    assert "`model` is missing" in told["agent_invalid", "test/agents/no-model.prompt"]
    twins = told["duplicate_agent", "test/agents/twin-a.prompt"]
    assert "twin-a.prompt and test/agents/twin-b.prompt both name the agent 'twin'" in twins
    assert "exec, google, nats, ollama, openai, scripted" in told["unknown_model", "test/agents/not-yet.prompt"]


async def test_what_the_prd_writes_loads_as_it_is() -> None:
    agent = (await load(DATA)).agents["test", "kubernetes-triage"]
    summary = agent.summary
    assert summary.source_file == "test/agents/kubernetes-triage.prompt"
    assert summary.input_schema == {
        "type": "object",
        "properties": {"namespace": {"type": "string"}, "service": {"type": "string"}},
        "required": ["namespace"],
    }
    assert summary.output_schema is not None
    assert summary.tools == ("kubectl__get_pods",)
    assert summary.description == "Looks at pods."
    assert len(summary.digest) == 64


async def test_picoschema_becomes_json_schema() -> None:
    agent = (await load(DATA)).agents["test", "pico"]
    assert agent.summary.input_schema == {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "where"}, "days": {"type": ["integer", "null"]}},
        "required": ["city"],
        "additionalProperties": False,
    }
    assert agent.defaults == {"days": 3}


@pytest.mark.parametrize(
    "schema",
    ["{type: [object, 'null']}", "{anyOf: [{type: object}]}", "{$ref: '#/$defs/a', $defs: {a: {type: object}}}"],
)
async def test_json_schema_without_one_type_at_its_root_is_taken_as_it_is(tmp_path: Path, schema: str) -> None:
    text = f"---\nmodel: scripted\nscripted: [{{answer: {{a: 1}}}}]\noutput: {{schema: {schema}}}\n---\n"
    agent = await load_agent(tmp_path, "a", text)
    assert agent.output_validator is not None
    assert agent.output_validator.is_valid({"anything": 1})


async def test_a_missing_folder_is_a_problem_with_what_to_do(tmp_path: Path) -> None:
    catalog = await load(tmp_path / "nowhere")
    assert [problem.code for problem in catalog.problems] == ["environments_unreadable"]
    assert "STATION_ENVIRONMENTS_DIR" in (catalog.problems[0].hint or "")


async def test_a_huge_and_a_binary_file_are_problems(tmp_path: Path) -> None:
    write_agent(tmp_path, "huge", "x" * 300_000)
    write_agent(tmp_path, "binary", "").write_bytes(b"\xff\xfe\x00")
    catalog = await load(tmp_path)
    assert [(problem.code, problem.path) for problem in catalog.problems] == [
        ("agent_invalid", "test/agents/binary.prompt"),
        ("agent_invalid", "test/agents/huge.prompt"),
    ]


async def test_a_body_of_several_roles_renders_to_one_text(tmp_path: Path) -> None:
    body = '{{role "system"}}\nBe brief about {{topic}}.\n{{role "user"}}\n{{userInput}}\n'
    agent = await load_agent(tmp_path, "a", f"---\nmodel: scripted\nscripted: [{{answer: 1}}]\n---\n{body}")
    text = await render(agent.prompt, "Why?", {"topic": '"<pods>"'})
    assert [line for line in text.splitlines() if line] == ['Be brief about "<pods>".', "Why?"]


async def execute(catalog: Catalog, agent: str, **fields: object) -> tuple[object, object, str]:
    outcome = await AgentRun(found_in(catalog), max_output_bytes=1000).execute(held_for(agent, **fields))  # pyright: ignore[reportArgumentType]
    assert outcome.error is not None
    return outcome.error.type, outcome.error.retryable, outcome.error.message


async def test_an_agent_that_is_not_there_is_named_with_those_that_are() -> None:
    kind, retryable, message = await execute(await load(DATA), "kubernetes-triag")
    assert (kind, retryable) == (ErrorType.AGENT_ERROR, False)
    assert "kubernetes-triage, named-inside, not-yet, pico" in message


async def test_an_agent_whose_model_nothing_runs_fails_clearly() -> None:
    kind, retryable, message = await execute(await load(DATA), "not-yet")
    assert (kind, retryable) == (ErrorType.AGENT_ERROR, False)
    assert "'quantum/one'" in message


async def test_a_backend_that_crashes_is_an_internal_error(tmp_path: Path) -> None:
    agent = await load_agent(tmp_path, "a", "---\nmodel: scripted\nscripted: [{answer: 1}]\n---\n")
    broken = msgspec.structs.replace(agent, options=None)
    kind, retryable, message = await execute(Catalog(agents={("test", "a"): broken}), "a")
    assert (kind, retryable) == (ErrorType.INTERNAL, True)
    assert "TypeError" in message


async def test_a_timeout_of_the_backends_own_is_not_the_steps(tmp_path: Path) -> None:
    agent = await load_agent(tmp_path, "a", "---\nmodel: scripted\nscripted: [{answer: 1}]\n---\n")

    class Impatient:
        prefixes: tuple[str, ...] = ("impatient",)
        repeatable = False

        def configure(self, front_matter: object, folder: Path) -> None: ...

        def clean_up(self) -> None: ...

        async def run(self, call: object) -> None:
            async with asyncio.timeout(0):
                await asyncio.sleep(1)

    slow = msgspec.structs.replace(agent, backend=Impatient())
    kind, _, _ = await execute(Catalog(agents={("test", "a"): slow}), "a", timeout=60)
    assert kind == ErrorType.INTERNAL


CALLS = "---\nmodel: scripted\nscripted: [{{answer: 1}}]\nagents: [{}]\n---\n"


async def test_a_digest_covers_the_partials_and_the_agents_that_can_be_reached(tmp_path: Path) -> None:
    write_agent(tmp_path, "_tone", "Be brief. {{> style}}")
    write_agent(tmp_path, "_style", "No slang.")
    write_agent(tmp_path, "_unused", "x")
    write_agent(tmp_path, "c", "---\nmodel: scripted\nscripted: [{answer: 1}]\n---\n{{> tone}}\n")
    write_agent(tmp_path, "b", CALLS.format("c, a"))
    write_agent(tmp_path, "a", CALLS.format("b"))
    write_agent(tmp_path, "alone", "---\nmodel: scripted\nscripted: [{answer: 1}]\n---\n")

    async def digests() -> dict[str, str]:
        catalog = await load(tmp_path)
        assert not catalog.problems
        return {name: agent.summary.digest for (_, name), agent in catalog.agents.items()}

    async def changed_by(file: str, text: str) -> set[str]:
        before = await digests()
        write_agent(tmp_path, file, text)
        after = await digests()
        return {name for name in before if before[name] != after[name]}

    catalog = await load(tmp_path)
    a, c = catalog.agents["test", "a"], catalog.agents["test", "c"]
    assert a.version.agents == {"b": catalog.agents["test", "b"].summary.digest}
    assert c.version.partials == {"tone": "Be brief. {{> style}}", "style": "No slang."}
    assert await render(c.prompt, None, {}) == "Be brief. No slang."
    assert await changed_by("_unused", "y") == set()
    assert await changed_by("_style", "Slang.") == {"a", "b", "c"}
    assert await changed_by("a", CALLS.format("b") + "more") == {"a", "b"}, "b may call a"


async def test_an_agent_that_calls_what_is_not_there_is_not_loaded_and_says_so(tmp_path: Path) -> None:
    write_agent(tmp_path, "a", CALLS.format("b"))
    write_agent(tmp_path, "b", CALLS.format("nobody"))
    write_agent(tmp_path, "d", CALLS.format("d"))
    catalog = await load(tmp_path)
    assert sorted(catalog.agents) == [("test", "d")]
    assert [(problem.code, problem.path) for problem in catalog.problems] == [
        ("unknown_agent", "test/agents/b.prompt"),
        ("unknown_agent", "test/agents/a.prompt"),
    ]
    assert "'nobody'" in catalog.problems[0].message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("agents: other", "`agents` must be a list of names"),
        ("max_steps: 0", "`max_steps` must be a whole number from 1"),
        ("config: 3", "line 4, column 9: the value in `config: 3` is of the wrong type"),
    ],
)
async def test_front_matter_of_the_wrong_shape_is_told(tmp_path: Path, line: str, words: str) -> None:
    write_agent(tmp_path, "a", f"---\nmodel: scripted\nscripted: [{{answer: 1}}]\n{line}\n---\n")
    (problem,) = (await load(tmp_path)).problems
    assert words in problem.message


async def test_what_was_said_before_stands_where_the_body_wants_it(tmp_path: Path) -> None:
    body = '{{role "system"}}Be brief.{{history}}{{role "user"}}{{task}}'
    agent = await load_agent(tmp_path, "a", f"---\nmodel: scripted\nscripted: [{{answer: 1}}]\n---\n{body}\n")
    assert agent.takes_history
    said = history_of({"history": [{"role": "user", "text": "Hi"}, {"role": "model", "text": "Yes?"}]})
    messages = await render_messages(agent.prompt, "Why?", {}, said)
    assert [(message.role.value, text_of(message).strip()) for message in messages] == [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("model", "Yes?"),
        ("user", "Why?"),
    ]
    for wrong in ("text", [{"role": "boss", "text": "x"}], [{"role": "user"}]):
        with pytest.raises(ValueError, match="history"):
            history_of({"history": wrong})


async def test_what_a_body_logs_is_printed_nowhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    agent = await load_agent(tmp_path, "a", '---\nmodel: scripted\nscripted: [{answer: 1}]\n---\na{{log "x"}}b\n')
    assert await render(agent.prompt, None, {}) == "ab"
    assert capfd.readouterr().out == ""
