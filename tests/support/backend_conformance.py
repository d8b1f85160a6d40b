"""What every backend must do. A backend passes by subclassing `BackendConformance` with the agents that make it happen.

Each agent is the text of a ``.prompt`` file. The tests go through the executor, as every call does, so they also show
that the checks around backends hold for this one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from station.agent_runner.backends.registry import Backends, all_backends
from station.agent_runner.catalog import load_catalog
from station.agent_runner.executors.agent_run import AgentRun
from station.agent_runner.executors.protocol import Outcome
from station.agent_runner.held import Held
from station.contracts.errors import ErrorType
from station.contracts.work import Claim, StepTask
from tests.support.agent_files import ENVIRONMENT, found_in, write_agent

MAX_OUTPUT = 64 * 1024
UNTIL_STOPPED = 20.0
OUTPUT_SCHEMA = """
output:
  schema:
    type: object
    properties: {status: {type: string}}
    required: [status]
"""

Play = Callable[..., Awaitable[Outcome]]


class BackendConformance:
    """Subclass it as ``class Test…`` and fill in the agents."""

    answers: str
    """Front matter of an agent that answers ``{"status": "ok"}``."""
    answers_wrongly: str
    """… that answers ``{"status": 7}``."""
    answers_text: str
    """… that answers the text ``hello``."""
    fails: str
    """… that fails with `error_type` and a message holding ``it broke``."""
    error_type = ErrorType.AGENT_ERROR
    floods: str
    """… that answers with more than `MAX_OUTPUT` bytes."""
    hangs: str
    """… that does not answer within the test."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "environments"

    @pytest.fixture
    def backends(self) -> Backends:
        """Every backend there is; one that needs more than memory is given it here."""
        return all_backends()

    @pytest.fixture
    def play(self, root: Path, backends: Backends) -> Play:
        """One attempt of the agent with this front matter."""
        return partial(execute, root, backends=backends)

    async def test_an_answer_that_keeps_its_schema_is_the_output(self, play: Play) -> None:
        outcome = await play(self.answers + OUTPUT_SCHEMA)
        assert (outcome.output, outcome.error, outcome.cancelled) == ({"status": "ok"}, None, False)
        assert outcome.size == len(b'{"status":"ok"}')

    async def test_json_is_found_without_a_schema_too(self, play: Play) -> None:
        assert (await play(self.answers)).output == {"status": "ok"}

    async def test_other_text_is_the_output_without_a_schema(self, play: Play) -> None:
        assert (await play(self.answers_text)).output == "hello"

    async def test_an_answer_that_breaks_its_schema_is_a_validation_error_that_may_be_retried(self, play: Play) -> None:
        outcome = await play(self.answers_wrongly + OUTPUT_SCHEMA)
        assert outcome.error is not None
        assert outcome.error.type is ErrorType.VALIDATION
        assert "/status" in outcome.error.message
        assert outcome.error.retryable

    async def test_text_where_json_is_promised_is_a_validation_error(self, play: Play) -> None:
        outcome = await play(self.answers_text + OUTPUT_SCHEMA)
        assert outcome.error is not None
        assert outcome.error.type is ErrorType.VALIDATION

    async def test_input_that_breaks_its_schema_never_reaches_the_agent(self, play: Play) -> None:
        schema = "input: {schema: {type: object, required: [namespace], properties: {namespace: {type: string}}}}\n"
        outcome = await play(self.fails + schema)
        assert outcome.error is not None
        assert (outcome.error.type, outcome.error.retryable) == (ErrorType.VALIDATION, False)
        assert "namespace" in outcome.error.message

    async def test_a_failure_is_an_agent_error_with_its_reason(self, play: Play) -> None:
        outcome = await play(self.fails)
        assert outcome.error is not None
        assert outcome.error.type is self.error_type
        assert "it broke" in outcome.error.message
        assert outcome.output is None

    async def test_a_huge_answer_is_refused_and_not_retried(self, play: Play) -> None:
        outcome = await play(self.floods)
        assert outcome.error is not None
        assert (outcome.error.type, outcome.error.retryable) == (ErrorType.PAYLOAD_TOO_LARGE, False)

    async def test_time_that_runs_out_is_a_timeout(self, play: Play) -> None:
        outcome = await play(self.hangs, timeout=0.2)
        assert outcome.error is not None
        assert (outcome.error.type, outcome.error.retryable) == (ErrorType.TIMEOUT, True)
        assert "0.2 s" in outcome.error.message

    async def test_cancelling_ends_it(self, play: Play) -> None:
        working = asyncio.ensure_future(play(self.hangs))
        done, _ = await asyncio.wait({working}, timeout=0.3)
        assert not done
        working.cancel()
        done, _ = await asyncio.wait({working}, timeout=UNTIL_STOPPED)
        assert done
        assert working.cancelled()

    async def test_many_calls_run_side_by_side(self, play: Play) -> None:
        async with asyncio.timeout(UNTIL_STOPPED):
            outcomes = await asyncio.gather(*(play(self.answers) for _ in range(8)))
        assert [outcome.output for outcome in outcomes] == [{"status": "ok"}] * 8


async def execute(
    root: Path, front_matter: str, timeout: float | None = None, backends: Backends | None = None
) -> Outcome:
    """One attempt of the agent with this front matter, through every check."""
    write_agent(root, "subject", f"---\n{front_matter.strip()}\n---\nThe task: {{{{task}}}}\n")
    catalog = await load_catalog(root, backends or all_backends())
    assert not catalog.problems
    executor = AgentRun(found_in(catalog), max_output_bytes=MAX_OUTPUT)
    return await executor.execute(held_for("subject", timeout))


def held_for(agent: str, timeout: float | None = None, **fields: object) -> Held:
    """A claimed attempt, for executors, which never look at the message it came with."""
    known: dict[str, object] = {
        "run_id": "run_1",
        "step_id": "5" * 32,
        "attempt": 1,
        "workflow_id": "wf",
        "state_name": "state",
        "environment": ENVIRONMENT,
        "agent": agent,
        "task": "do it",
        "timeout_seconds": timeout,
        "idempotency_key": f"run_1:{'5' * 32}:1",
    }
    task = StepTask(**{**known, **fields})  # pyright: ignore[reportArgumentType]
    return Held(task, Claim(verdict="run", token=1), cast("object", None), None)  # pyright: ignore[reportArgumentType]
