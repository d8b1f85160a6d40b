from pathlib import Path

import pytest

from station.agent_runner.backends.registry import all_backends
from station.agent_runner.catalog import load_catalog
from station.agent_runner.failures import AttemptFailed
from station.contracts.errors import ErrorType
from tests.support.agent_files import backend_of, call_of, load_agent, write_agent
from tests.support.backend_conformance import MAX_OUTPUT, BackendConformance


class TestConformance(BackendConformance):
    answers = "model: scripted\nscripted: [{answer: {status: ok}}]\n"
    answers_wrongly = "model: scripted\nscripted: [{answer: {status: 7}}]\n"
    answers_text = "model: scripted\nscripted: [{answer: hello}]\n"
    fails = "model: scripted\nscripted: [{error: {type: agent_error, message: it broke}}]\n"
    floods = f"model: scripted\nscripted: [{{answer: {'x' * (MAX_OUTPUT + 1)}}}]\n"
    hangs = "model: scripted\nscripted: [{answer: late, delaySeconds: 3600}]\n"

    # A script answers with a JSON value, so a text in it is JSON already: it breaks the schema instead of being none.


async def test_the_first_entry_that_matches_answers(tmp_path: Path) -> None:
    agent = await load_agent(
        tmp_path,
        "a",
        """
        ---
        model: scripted
        scripted:
          - {when: {task: "pods? in"}, answer: pods}
          - {when: {variables: {env: prod, deep: {a: [1]}}}, answer: prod}
          - {answer: other}
        ---
        """,
    )
    backend = backend_of(agent)
    assert (await backend.run(call_of(agent, "check pod in prod"))).value == "pods"
    assert (await backend.run(call_of(agent, "check", {"env": "prod", "deep": {"a": [1]}, "more": 1}))).value == "prod"
    assert (await backend.run(call_of(agent, "check", {"env": "prod"}))).value == "other"
    assert (await backend.run(call_of(agent, None))).value == "other"


async def test_times_are_counted_over_the_life_of_the_process(tmp_path: Path) -> None:
    text = """
    ---
    model: scripted
    scripted:
      - {times: 2, error: {type: agent_error, message: not yet}}
      - {times: 1, answer: done}
    ---
    """
    backends = all_backends()
    agent = await load_agent(tmp_path, "a", text, backends)
    backend = backend_of(agent)
    for _ in range(2):
        with pytest.raises(AttemptFailed, match="not yet"):
            await backend.run(call_of(agent))
        agent = await load_agent(tmp_path, "a", text, backends)  # reading the same file again changes nothing
    assert (await backend.run(call_of(agent))).value == "done"
    with pytest.raises(AttemptFailed, match="used up") as failed:
        await backend.run(call_of(agent))
    assert failed.value.error.type is ErrorType.AGENT_ERROR
    changed = await load_agent(tmp_path, "a", text + "changed", backends)
    with pytest.raises(AttemptFailed, match="not yet"):
        await backend.run(call_of(changed))


@pytest.mark.parametrize(("kind", "retryable"), [("agent_error", True), ("timeout", True), ("budget_exceeded", False)])
async def test_an_error_is_retried_as_a_real_one_of_its_type(tmp_path: Path, kind: str, *, retryable: bool) -> None:
    agent = await load_agent(tmp_path, "a", f"---\nmodel: scripted\nscripted: [{{error: {{type: {kind}}}}}]\n---\n")
    with pytest.raises(AttemptFailed) as failed:
        await backend_of(agent).run(call_of(agent))
    assert (failed.value.error.type, failed.value.error.retryable) == (kind, retryable)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("", "needs a list under `scripted`"),
        ("scripted: {answer: 1}", "Expected `array`"),
        ("scripted: [{answr: 1}]", "unknown field `answr`"),
        ("scripted: [{times: 1}]", "`scripted[0]` needs an `answer` or an `error`"),
        ("scripted: [{answer: 1, when: {task: '('}}]", "`scripted[0].when.task` is not a regular expression"),
        ("scripted: [{answer: 1, times: 0}]", "Expected `int` >= 1"),
        ("scripted: [{error: {type: nonsense}}]", "Invalid enum value 'nonsense'"),
    ],
)
async def test_a_script_that_cannot_be_used_is_a_problem_of_its_file(tmp_path: Path, script: str, said: str) -> None:
    write_agent(tmp_path, "a", f"---\nmodel: scripted\n{script}\n---\n")
    catalog = await load_catalog(tmp_path, all_backends())
    assert not catalog.agents
    assert [problem.path for problem in catalog.problems] == ["test/agents/a.prompt"]
    assert said in catalog.problems[0].message
